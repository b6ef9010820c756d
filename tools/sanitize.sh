#!/usr/bin/env bash
# Runs what is ours under sanitizers: address and undefined behaviour, then threads. Kernels are built with the address sanitizer too.
#
#   tools/sanitize.sh [asan] [tsan]      both unless given
#
# Only libraries without foreign threads are here: what XGBoost and ONNX do inside is theirs.
set -euo pipefail
cd "$(dirname "$0")/.."

declare -A tests=(
  [asan]="core_test codegen_test space_test db_test agreement_test board_test ptx_machine_test"
  [tsan]="core_test space_test board_test"
)

tools/install-dependencies.sh
for preset in "${@:-asan tsan}"; do
  for name in $preset; do
    cmake --preset "$name" > /dev/null
    # shellcheck disable=SC2086
    cmake --build --preset "$name" --target ${tests[$name]}
    for test in ${tests[$name]}; do
      printf '== %s: %s\n' "$name" "$test"
      LATHE_AGREEMENT_CONFIGS=1 "build/$name/tests/$test" --gtest_brief=1
    done
  done
done
