#!/usr/bin/env bash
# The whole way on an OpenCL device: an agent on loopback, a detector's workloads tuned through it, the kernel library, its test, a pipeline on it.
#
#   tools/demo-opencl.sh [OUT]      OUT: where everything goes (default: build/demo-opencl)
#
# The first device of the ICD loader is taken; a CPU is one where PoCL is installed. LATHE_DEMO_TIME (default 18m) is how long the tuner may take,
# LATHE_DEMO_TRIALS (default 4) how many candidates a workload.
set -euo pipefail
cd "$(dirname "$0")/.."

out=${1:-build/demo-opencl}
step() { printf '\n== %s\n' "$*"; }
started=$SECONDS
bin=build/release/bin
log=$out/tuning.db
model=models/yolo_small_1080p.onnx
mkdir -p "$out"

step "packages, build"
tools/install-dependencies.sh
cmake --preset release > /dev/null
cmake --build --preset release --target lathe lathe-agent lathe-worker

step "an agent on loopback"
source tools/demo-agent.sh
$bin/lathe boards "$board"

step "tune the detector's tasks"
status=0
$bin/lathe tune "$model" --board "$board" --target opencl --log "$log" --trials "${LATHE_DEMO_TRIALS:-4}" --time "${LATHE_DEMO_TIME:-18m}" --seed 1 ||
  status=$?
[ "$status" -eq 5 ] || [ "$status" -eq 0 ] || exit "$status"  # 5: the time was over before each task had a winner
kill "$agent"
wait "$agent" || true

step "ask the log"
$bin/lathe query --log "$log" --operator nms --best
$bin/lathe query --log "$log" --failures

step "generate the kernel library, build it, run its own test, install it"
$bin/lathe build "$model" --target opencl --log "$log" --out "$out/kernels"
cmake -S "$out/kernels" -B "$out/kernels/build" > /dev/null
cmake --build "$out/kernels/build"
ctest --test-dir "$out/kernels/build" --output-on-failure
cmake --install "$out/kernels/build" --prefix "$out/installed" > /dev/null

step "a pipeline that links it, on a 1080p picture"
source tools/demo-picture.sh
cmake -S examples/salient_boxes -B "$out/example" -DCMAKE_PREFIX_PATH="$(realpath "$out/installed")" > /dev/null
cmake --build "$out/example"
(cd "$out" && example/salient_boxes_opencl picture.ppm boxes.ppm)

step "done in $((SECONDS - started)) s; everything is in $out"
