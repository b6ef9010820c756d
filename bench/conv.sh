#!/bin/bash
# One command: sets up the peers, tunes a model's convolutions, generates their kernel library, and times both side by side.
#   bench/conv.sh [MODEL.onnx] [--trials N] [--threads N] [--log FILE] [--out DIR] [-- options of bench/conv.py]
#   bench/conv.sh models/resnet50_224.onnx --trials 200 -- --peers onednn,ncnn
# Needs a release build (cmake --preset release && cmake --build --preset release) and Python 3 with venv. What the log knows is not measured again.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
model=$root/models/resnet50_224.onnx trials=200 threads=1 out= log=
while [ $# -gt 0 ]; do
  case $1 in
    --trials) trials=$2; shift 2 ;;
    --threads) threads=$2; shift 2 ;;
    --log) log=$2; shift 2 ;;
    --out) out=$2; shift 2 ;;
    --help | -h) sed -n '2,5s/^# //p' "$0"; exit 0 ;;
    --) shift; break ;;
    -*) echo "$0: no such option: $1 (see --help)" >&2; exit 2 ;;
    *) model=$1; shift ;;
  esac
done
name=$(basename "$model" .onnx)
out=${out:-$root/build/bench/conv/$name}
log=${log:-$out/tuning.db}
lathe=${LATHE:-$root/build/release/bin/lathe}
python=$root/build/bench/venv/bin/python
mkdir -p "$out"
[ -x "$lathe" ] || { echo "$0: $lathe is not there: build it first" >&2; exit 2; }
if [ ! -x "$python" ]; then
  python3 -m venv "$root/build/bench/venv"
  "$python" -m pip install --quiet torch --index-url https://download.pytorch.org/whl/cpu || "$python" -m pip install --quiet torch
  "$python" -m pip install --quiet numpy onnx onnxruntime openvino ncnn MNN
fi

"$lathe" tasks "$model" --json > "$out/all.json"
# The convolutions, without their residuals, which no peer's convolution adds: what then is the same is one layer, with the counts of both. And
# the machine's multiply-add limit as one more kernel of the library.
"$python" - "$out/all.json" "$out/workloads.json" <<'PY'
import json, sys
tasks = [t for t in json.load(open(sys.argv[1]))["tasks"] if t["operator"] == "conv2d"]
for task in tasks:
    task["workload"]["residual"] = 0
tasks.append({"operator": "machine_fma", "workload": {}, "count": 1})
json.dump({"tasks": tasks}, open(sys.argv[2], "w"))
PY
"$lathe" limits --log "$log" --threads "$threads"
"$lathe" tune "$out/workloads.json" --log "$log" --trials "$trials" --threads "$threads"
target=$("$lathe" query --log "$log" --operator machine_fma --best --json | "$python" -c "
import json, sys
print(min(m['target'] for m in json.load(sys.stdin)['measurements'] if m['target'].endswith('/threads=$threads')))")
"$lathe" build "$out/workloads.json" --log "$log" --target "$target" --out "$out/kernels" > "$out/build.txt"
"$python" "$root/bench/conv.py" "$out/kernels" --threads "$threads" --json "$out/conv.json" "$@" | tee "$out/conv.md"
