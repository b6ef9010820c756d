#!/usr/bin/env bash
# Sets up a bare Debian machine, builds, and runs every test.
set -euo pipefail
cd "$(dirname "$0")/.."

tools/install-dependencies.sh
cmake --preset release
cmake --build --preset release
ctest --preset release -j "$(nproc)"
