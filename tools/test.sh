#!/usr/bin/env bash
# Sets up a bare Debian machine, builds, and runs every test.
set -euo pipefail
cd "$(dirname "$0")/.."

tools/install-dependencies.sh
cmake --preset release -DLATHE_BUILD_TESTS=ON
cmake --build --preset release
ctest --preset release -j "$(nproc)" --no-tests=error
