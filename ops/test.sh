#!/usr/bin/env bash
# Every test. `--long` adds the long suites. Sets up and builds what it needs first; needs root, since the
# end-to-end tests make networks of their own.
set -euo pipefail
cd "$(dirname "$0")/.."
arguments=()
case ${1:-} in
    --long) arguments+=(--run-ignored all) ;;
    "") ;;
    *)
        echo "usage: ops/test.sh [--long]" >&2
        exit 2
        ;;
esac
ops/setup.sh --tests
. ops/env.sh
exec cargo nextest run --release --locked --workspace "${arguments[@]}"
