#!/usr/bin/env bash
# Makes a Debian 12 machine that has only Rust able to build, demonstrate and test Holdfast: system
# packages, the RocksDB library (compiled once, kept outside the checkout), then the build. Does nothing
# when nothing changed. Everything it says goes to standard error.
#
#   ops/setup.sh          what the demo needs
#   ops/setup.sh --tests  also what the tests need: players, a name server, the test runner
#   ops/setup.sh --checks also what CI checks with: cargo-deny
#   ops/setup.sh --bench  what the benchmarks need: those Holdfast is measured beside
set -euo pipefail
exec >&2
cd "$(dirname "$0")/.."

packages=(
    g++ libclang-14-dev # RocksDB and its bindings
    iproute2 nftables util-linux procps # network namespaces, cutting WANs, processes that end with us
    python3 python3-gi gir1.2-gstreamer-1.0 gir1.2-gst-plugins-base-1.0 gir1.2-gst-rtsp-server-1.0 # cameras
    gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly
    gstreamer1.0-libav
)
# Those Holdfast is measured beside.
peers=(openssh-server openssh-client rsync rclone)
tools=()
case ${1:-} in
    --tests | --checks)
        tools+=(cargo-nextest@0.9.143)
        [ "$1" = --tests ] || tools+=(cargo-deny@0.20.2)
        packages+=(e2fsprogs ffmpeg vlc-bin vlc-plugin-base chromium dnsmasq-base "${peers[@]}")
        ;;
    --bench) packages+=("${peers[@]}") ;;
    "") ;;
    *)
        echo "usage: ops/setup.sh [--tests | --checks | --bench]"
        exit 2
        ;;
esac

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

missing=()
for package in "${packages[@]}"; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing+=("$package")
done
# An ssh server is wanted as a program only; its package would start a service, now and at every boot, on a
# machine whose owner asked for none. This is `systemctl mask` for a unit that is not there yet.
mask() {
    [ -e "/etc/systemd/system/$1" ] || as_root ln -s /dev/null "/etc/systemd/system/$1"
}
if [ ${#missing[@]} -gt 0 ]; then
    echo "installing ${missing[*]}"
    as_root apt-get update -q
    if [[ " ${missing[*]} " == *" openssh-server "* ]]; then
        as_root install -d /etc/systemd/system
        mask ssh.service
        mask ssh.socket
    fi
    # RUNLEVEL says the same to machines without systemd.
    as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get install -y -q --no-install-recommends "${missing[@]}"
fi

command -v cargo >/dev/null || { echo "cargo is missing: install Rust 1.95 or later first"; exit 1; }
. ops/env.sh
for tool in "${tools[@]}"; do
    command -v "${tool%@*}" >/dev/null || {
        echo "installing $tool into $HOLDFAST_TOOLS"
        cargo install --quiet --locked --root "$HOLDFAST_TOOLS" "$tool"
    }
done
cargo build --release --locked --workspace
