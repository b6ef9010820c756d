#!/bin/bash
# One command: sets up the peers, tunes resize, preprocess, NMS and ROI align, generates their kernel library, and times all side by side.
#   bench/vision.sh [--trials N] [--threads N] [--only TEXT] [--log FILE] [--out DIR] [-- options of bench/vision.py]
#   bench/vision.sh --only nms --trials 60 -- --peers openvino,torch
# Needs a release build (cmake --preset release && cmake --build --preset release) and Python 3 with venv (LATHE_BENCH_PYTHON: one that has the
# peers already). What the log knows is not measured again. Writes a table, vision.json and vision.svg into DIR.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
trials=200 threads=1 only= out=$root/build/bench/vision log=
while [ $# -gt 0 ]; do
  case $1 in
    --trials) trials=$2; shift 2 ;;
    --threads) threads=$2; shift 2 ;;
    --only) only=$2; shift 2 ;;
    --log) log=$2; shift 2 ;;
    --out) out=$2; shift 2 ;;
    --help | -h) sed -n '2,6s/^# //p' "$0"; exit 0 ;;
    --) shift; break ;;
    *) echo "$0: no such option: $1 (see --help)" >&2; exit 2 ;;
  esac
done
log=${log:-$out/tuning.db}
lathe=${LATHE:-$root/build/release/bin/lathe}
python=${LATHE_BENCH_PYTHON:-$root/build/bench/vision-venv/bin/python}
mkdir -p "$out"
[ -x "$lathe" ] || { echo "$0: $lathe is not there: build it first" >&2; exit 2; }
if [ ! -x "$python" ]; then
  python3 -m venv "$root/build/bench/vision-venv"
  "$python" -m pip install --quiet torch torchvision --index-url https://download.pytorch.org/whl/cpu || "$python" -m pip install --quiet torch torchvision
  "$python" -m pip install --quiet numpy opencv-python-headless pillow onnx onnxruntime openvino
fi

"$python" "$root/bench/vision.py" --list --only "$only" > "$out/workloads.json"
"$lathe" tune "$out/workloads.json" --log "$log" --trials "$trials" --threads "$threads"
target=$("$lathe" query --log "$log" --operator machine_copy --best --json | "$python" -c "
import json, sys
print(min(m['target'] for m in json.load(sys.stdin)['measurements'] if m['target'].endswith('/threads=$threads')))")
"$lathe" build "$out/workloads.json" --log "$log" --target "$target" --out "$out/kernels" > "$out/build.txt"
"$python" "$root/bench/vision.py" --library "$out/kernels" --only "$only" --threads "$threads" --json "$out/vision.json" --plot "$out/vision.svg" "$@" |
  tee "$out/vision.md"
