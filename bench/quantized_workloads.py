#!/usr/bin/env python3
"""A model's convolutions as they are after quantisation: a list of workloads for `lathe tune` and `lathe build`, out of what `lathe tasks` says.

  lathe tasks models/resnet50_224.onnx --json | python3 bench/quantized_workloads.py > int8.json

Pixels with all their channels side by side (nhwc), as libraries keep them between quantised layers; zero points as calibration gives them: 0 behind
a relu, 128 elsewhere; a residual and the relu behind it stay outside. Layers whose sums might leave 32 bits are left out. The machine's multiply-add limit is the last workload.
"""
import json
import sys

KEPT = ["n", "h", "w", "c", "k", "r", "s", "stride_h", "stride_w", "pad_top", "pad_left", "pad_bottom", "pad_right", "dilation_h", "dilation_w", "groups"]
tasks = []
for task in json.load(sys.stdin)["tasks"]:
    w = task["workload"]
    if task["operator"] != "conv2d" or w["c"] // w["groups"] * w["r"] * w["s"] > 32768:
        continue
    relu = w["activation"] != "none" and not w["residual"]
    tasks.append({"operator": "quantized_conv2d", "count": task["count"],
                  "workload": {**{name: w[name] for name in KEPT}, "layout": "nhwc", "bias": 1, "activation": "relu" if relu else "none",
                               "input_zero_point": 0 if w["c"] > 4 else 114, "output_zero_point": 0 if relu else 128}})
tasks.append({"operator": "machine_fma", "workload": {}, "count": 1})
json.dump({"tasks": tasks}, sys.stdout, indent=1)
