#!/usr/bin/env bash
# Builds librocksdb.a once, outside every target folder, from the sources of the librocksdb-sys that
# Cargo.lock names, and prints the folder that holds it. Compiling it takes about 20 minutes on two
# cores; every clean clone on the same machine then links it in seconds.
#
# The cache key is everything the result depends on: crate version, crate features, optimisation level,
# target, C++ compiler. The library is built by the crate's own build script, so its flags are the
# crate's, and is published by a rename, so a build that is cut short leaves no half library.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cache=${HOLDFAST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/holdfast}
version=${1:-$(awk '/^name = "librocksdb-sys"$/ { getline; gsub(/version = |"/, ""); print; exit }' "$root/Cargo.lock")}
opt_level=2
target=$(rustc -vV | awk '/^host:/ { print $2 }')
compiler=$("${CXX:-c++}" -dumpfullversion -dumpversion)
lib=$cache/rocksdb-$version-O$opt_level-$target-cxx$compiler

if [ ! -f "$lib/librocksdb.a" ]; then
    mkdir -p "$cache"
    exec 9>"$cache/.rocksdb.lock"
    flock 9 # two builds at once wait for each other instead of compiling twice
fi
if [ ! -f "$lib/librocksdb.a" ]; then
    echo "building RocksDB ($version) once into the cache; about 20 minutes on two cores" >&2
    work=$cache/rocksdb-build
    mkdir -p "$work/src"
    : >"$work/src/lib.rs"
    cat >"$work/Cargo.toml" <<EOF
[package]
name = "rocksdb-build"
version = "0.0.0"
edition = "2024"
[dependencies]
librocksdb-sys = { version = "=$version", default-features = false, features = ["bindgen-runtime"] }
[profile.release]
opt-level = $opt_level
[workspace]
EOF
    rm -f "$work/Cargo.lock"
    (cd "$work" && env -u ROCKSDB_LIB_DIR -u ROCKSDB_STATIC -u CARGO_TARGET_DIR cargo build --release >&2)
    built=$(find "$work/target/release/build" -name librocksdb.a -printf '%T@ %p\n' | sort -n | tail -1 | cut -d' ' -f2-)
    mkdir -p "$lib"
    strip --strip-debug "$built" -o "$lib/librocksdb.a.new"
    mv "$lib/librocksdb.a.new" "$lib/librocksdb.a"
    rm -rf "$work"
fi
echo "$lib"
