#!/usr/bin/env bash
# The whole way on one machine: tune a detector's workloads, ask the log, generate the kernel library, run a pipeline on it.
#
#   tools/demo.sh [OUT]      OUT: where everything goes (default: build/demo)
#
# LATHE_DEMO_TIME (default 3m) is how long the tuner may take, LATHE_DEMO_TRIALS (default 64) how many candidates a workload.
set -euo pipefail
cd "$(dirname "$0")/.."

out=${1:-build/demo}
step() { printf '\n== %s\n' "$*"; }
started=$SECONDS

step "packages, build"
tools/install-dependencies.sh
cmake --preset release > /dev/null
cmake --build --preset release --target lathe lathe-agent lathe-worker
mkdir -p "$out"
lathe=build/release/bin/lathe
log=$out/tuning.db
model=models/yolo_small_1080p.onnx

step "what this machine can do at most"
$lathe limits --log "$log"

step "the detector's tasks"
$lathe tasks "$model"

step "tune them"
$lathe tune "$model" --board local --log "$log" --trials "${LATHE_DEMO_TRIALS:-64}" --time "${LATHE_DEMO_TIME:-3m}" --seed 1 || [ $? -eq 5 ]  # 5: not all reached

step "the same over the network: an agent on loopback, two tuners with one seed, one in-process and one through the agent"
source tools/demo-agent.sh
$lathe boards "$board"
small=nms:n=300,max_out=100  # one template: shares of several depend on measured times
rm -f "$out"/demo-{local,remote}.db
$lathe tune --workload "$small" --log "$out/demo-local.db" --trials 8 --strategy random --seed 1
$lathe tune --workload "$small" --board "$board" --log "$out/demo-remote.db" --trials 8 --strategy random --seed 1
ends() { $lathe query --log "$1" --trace --json | tr -d ' \n' | grep -o '"status":"[a-z_]*"\|"config":{[^}]*}' | paste - - | sort -u; }
diff <(ends "$out/demo-local.db") <(ends "$out/demo-remote.db") && echo "the same candidates came to the same ends both ways"
kill "$agent"
wait "$agent" || true

step "ask the log"
$lathe query --log "$log" --operator nms --best
$lathe query --log "$log" --failures

step "generate the kernel library, build it, run its own test, install it"
$lathe build "$model" --log "$log" --out "$out/kernels"
cmake -S "$out/kernels" -B "$out/kernels/build" > /dev/null
cmake --build "$out/kernels/build" -j "$(nproc)"
ctest --test-dir "$out/kernels/build" --output-on-failure
cmake --install "$out/kernels/build" --prefix "$out/installed" > /dev/null

step "a pipeline that links it, on a 1080p picture"
source tools/demo-picture.sh
cmake -S examples/salient_boxes -B "$out/example" -DCMAKE_PREFIX_PATH="$(realpath "$out/installed")" > /dev/null
cmake --build "$out/example"
"$out/example/salient_boxes" "$out/picture.ppm" "$out/boxes.ppm"

step "done in $((SECONDS - started)) s; everything is in $out"
