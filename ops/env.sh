# Source this before cargo: `. ops/env.sh`. It points the build at the RocksDB library that
# ops/rocksdb-cache.sh keeps outside the checkout, so that no clone compiles it again.
ROCKSDB_LIB_DIR=$("$(dirname "${BASH_SOURCE[0]:-$0}")/rocksdb-cache.sh") || return 1
export ROCKSDB_LIB_DIR ROCKSDB_STATIC=1
