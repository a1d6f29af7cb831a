# Source this before cargo: `. ops/env.sh`. It points the build at the RocksDB library that
# ops/rocksdb-cache.sh keeps outside the checkout, so that no clone compiles it again, and finds the tools
# that ops/setup.sh installed beside it.
HOLDFAST_TOOLS=${HOLDFAST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/holdfast}/tools
ROCKSDB_LIB_DIR=$("$(dirname "${BASH_SOURCE[0]:-$0}")/rocksdb-cache.sh") || return 1
PATH=$PATH:$HOLDFAST_TOOLS/bin
export HOLDFAST_TOOLS ROCKSDB_LIB_DIR ROCKSDB_STATIC=1 PATH
