#!/usr/bin/env python3
"""What NVRTC makes of the GPU templates: random valid configs, built for many architectures; no GPU is needed.

    bench/gpu_builds.py [--configs 30] [--architectures sm_53,sm_87] [TEMPLATE...]

Half of the configs are for the operator's test_workloads, half for layers and stages of networks as they are (below). Prints, as Markdown, a row a
template and a column an architecture: built/tried, the most registers of an item, and how many configs spill. A config is refused where a limit of
the architecture is passed or the compiler gives up: the space should not have called it valid, and each is listed with the reason.
LATHE_NVRTC names the compiler (docs/gpu-backends.md).
"""
import argparse
import json
import os
import subprocess
import sys

ARCHITECTURES = "sm_53,sm_62,sm_72,sm_75,sm_80,sm_86,sm_87,sm_89,sm_90,sm_110,sm_120"
PAD1 = "pad_top=1,pad_left=1,pad_bottom=1,pad_right=1"
CONV2D = [
    f"h=80,w=80,c=128,k=128,r=3,s=3,{PAD1},layout=nchw,bias=1,activation=silu",
    f"h=56,w=56,c=64,k=64,r=3,s=3,{PAD1},bias=1,activation=relu",
    "h=56,w=56,c=64,k=256,r=1,s=1,bias=1",
    "n=8,h=14,w=14,c=1024,k=256,r=1,s=1,bias=1,activation=relu,dtype=f16",
    f"h=28,w=28,c=128,k=128,r=3,s=3,{PAD1},bias=1,activation=relu,dtype=f16",
    f"h=56,w=56,c=128,k=128,r=3,s=3,stride_h=2,stride_w=2,{PAD1},groups=8,dtype=f16",
    "h=224,w=224,c=3,k=64,r=7,s=7,stride_h=2,stride_w=2,pad_top=3,pad_left=3,pad_bottom=3,pad_right=3,bias=1,activation=relu,layout=nchw",
    f"h=112,w=112,c=96,k=96,r=3,s=3,stride_h=2,stride_w=2,{PAD1},groups=96,bias=1,activation=relu6",
    f"h=14,w=14,c=576,k=576,r=3,s=3,{PAD1},groups=576,bias=1,activation=relu6,layout=nchw,dtype=f16",
]
QUANTIZED = [f"h=56,w=56,c=64,k=64,r=3,s=3,{PAD1},bias=1,activation=relu,input_zero_point=114", "h=14,w=14,c=1024,k=256,r=1,s=1,bias=1,layout=nchw"]
RESIZE = ["n=1,h=1080,w=1920,oh=640,ow=640,c=3,dtype=u8", "n=1,h=1080,w=1920,oh=640,ow=640,c=3,dtype=f32,layout=nchw",
          "n=1,h=2160,w=3840,oh=1080,ow=1920,c=3,dtype=u8,mode=bicubic", "n=1,h=40,w=40,oh=80,ow=80,c=128,dtype=f16,layout=nchw,mode=nearest"]
WORKLOADS = {
    "implicit_gemm_gpu": [f"conv2d:{w}" for w in CONV2D], "winograd_gpu": [f"conv2d:{w}" for w in CONV2D],
    "depthwise_gpu": [f"conv2d:{w}" for w in CONV2D], "mma_gpu": [f"conv2d:{w}" for w in CONV2D],
    "dot_gpu": [f"quantized_conv2d:{w}" for w in QUANTIZED],
    "resize_gpu": [f"resize:{w}" for w in RESIZE],
    "preprocess_gpu": ["preprocess:n=1,h=1080,w=1920,oh=640,ow=640", "preprocess:n=1,h=2160,w=3840,oh=640,ow=640,letterbox=0,format=nv12"],
    "nms_gpu": ["nms:n=8400,max_out=8400,iou_threshold=0.45", "nms:n=1000,max_out=1000,batched=1", "nms:n=12000,max_out=1000,classes=80,top_k=2000"],
    "roi_align_gpu": ["roi_align:n=1,r=1000,c=256,h=200,w=336,sampling_ratio=2,spatial_scale=0.25,aligned=0",
                      "roi_align:n=1,r=1000,c=256,h=200,w=336,sampling_ratio=0,spatial_scale=0.25,levels=4,layout=nhwc,dtype=f16"],
}


def check(lathe, template, target, configs, workloads):
    """The report of `lathe check` for one template on one target, or None where it does not apply."""
    command = [lathe, "--json", "check", template, "--build-only", "--target", target, "--total", str(configs)]
    for workload in workloads:
        command += ["--workload", workload]
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if run.returncode not in (0, 4, 5) or not run.stdout:
        sys.exit(f"{' '.join(command)}\n{run.stderr}")
    report = json.loads(run.stdout)
    return report if report["templates"] else None


def cell(reports, failures):
    tried = built = spilling = registers = 0
    for report in filter(None, reports):
        failures += report["failures"]
        entry, = report["templates"]
        facts = entry.get("facts", {})
        tried, built = tried + entry["checked"], built + entry["checked"] - entry["failed"]
        registers = max(registers, facts.get("registers", {"most": 0})["most"])
        spilling += facts.get("spill_store_bytes", {"positive": 0})["positive"]
    return f"{built}/{tried} · {registers:.0f} · {spilling}" if tried else "–", tried, built


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("templates", nargs="*", metavar="TEMPLATE", help=f"of {' '.join(WORKLOADS)}; all unless given")
    parser.add_argument("--configs", type=int, default=30, help="for each template and architecture (30)")
    parser.add_argument("--architectures", default=ARCHITECTURES, help=f"with commas between ({ARCHITECTURES})")
    parser.add_argument("--lathe", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "build", "release", "bin", "lathe"))
    options = parser.parse_args()
    unknown = set(options.templates) - set(WORKLOADS)
    if unknown:
        parser.error(f"no workloads for {' '.join(sorted(unknown))}; there are {' '.join(WORKLOADS)}")

    architectures, failures, all_tried, all_built = options.architectures.split(","), [], 0, 0
    print("| template | " + " | ".join(architectures) + " |\n" + "| --- " * (1 + len(architectures)) + "|")
    for template in options.templates or WORKLOADS:
        cells = []
        for architecture in architectures:
            half = options.configs // 2
            reports = [check(options.lathe, template, f"cuda/{architecture}", half, WORKLOADS[template]),
                       check(options.lathe, template, f"cuda/{architecture}", options.configs - half, [])]
            text, tried, built = cell(reports, failures)
            all_tried, all_built = all_tried + tried, all_built + built
            cells.append(text)
        print(f"| `{template}` | " + " | ".join(cells) + " |", flush=True)
    print(f"\n{all_built} of {all_tried} built")
    for failure in failures:
        print(f"\n- {failure['status']}: {failure['template']} on {failure['target']}, {failure['workload']}\n  {failure['config']}\n  {failure['message']}")
    return 0 if all_built == all_tried else 1


if __name__ == "__main__":
    sys.exit(main())
