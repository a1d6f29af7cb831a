#!/usr/bin/env bash
# The main job on this machine: a hub, two sites, two real cameras each, a WAN that is cut and healed, a recorder
# that is killed and taken over, every frame accounted for. Sets up and builds what it needs first.
#
#   ops/demo.sh [--for 60s] [--json] [--keep DIR]
#
# Needs root (network namespaces). With --json the last line is one JSON object.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
"$here/setup.sh"
if [ "$(id -u)" = 0 ]; then
    exec "$here/../target/release/holdfast" demo "$@"
else
    exec sudo "$here/../target/release/holdfast" demo "$@"
fi
