#!/usr/bin/env python3
"""Times tuned resize, preprocess, NMS and ROI align kernels beside other libraries, interleaved on the same data in one process.

bench/vision.sh sets everything up and calls this. By hand:
  bench/vision.py --list --only roi > workloads.json              the workloads, for `lathe tune` and `lathe build`
  bench/vision.py --library kernels/ --peers opencv,torch         kernels/: what `lathe build` wrote for them
Each round calls every contestant in turn for --seconds; what counts is the 20 % quantile of all its calls, since noise only adds time. With one
thread a call's time is the processor time of the process: on a busy machine a long call is interrupted where a short one is not, and by the clock it
would look slower than it is. Copying memory is a contestant like the others. Exit status: 0; 1 when a result is wrong or nothing could be timed; 2 on misuse.
"""
import argparse
import json
import os
import sys
import time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--list", action="store_true", help="print the workloads and exit")
parser.add_argument("--library", help="folder of a kernel library")
parser.add_argument("--peers", default="opencv,pillow,torch,onnxruntime,openvino")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--rounds", type=int, default=7)
parser.add_argument("--seconds", type=float, default=0.05, help="of one contestant in one round")
parser.add_argument("--only", default="", help="cases whose name contains this")
parser.add_argument("--json", help="file for all results")
parser.add_argument("--plot", help="file for a picture (SVG)")
options = parser.parse_args()
os.environ["OMP_NUM_THREADS"] = str(options.threads)
os.environ["KMP_BLOCKTIME"] = "0"  # no peer's idle threads spin while another is timed

import numpy as np  # noqa: E402  (reads OMP_NUM_THREADS)

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import vision_cases  # noqa: E402
import vision_peers  # noqa: E402
from kernel_library import KernelLibrary, aligned  # noqa: E402
from racing import geometric_mean, race  # noqa: E402

CASES = [c for c in vision_cases.all_cases() if options.only in c.name]
clock = time.process_time if options.threads == 1 else time.perf_counter


def one_case(library, case, copy, copy_bytes):
    inputs = case.inputs()
    tensors = {name: aligned(array) for name, array in inputs.items()}
    outputs = {name: aligned(array) for name, array in case.outputs().items()}
    contestants = {"copy": copy, "ours": library.call(case.operator, case.attributes, tensors | outputs)}
    failures, wrong = {}, []
    for peer in filter(None, options.peers.split(",")):
        try:
            for variant, run, result in vision_peers.PEERS[peer](case, inputs, options.threads):
                run()
                contestants[f"{peer}: {variant}"] = run
                if result is not None:  # what it computes is what ours computes
                    difference = case.difference(outputs, result())
                    if difference:
                        wrong.append(f"{case.name} against {peer} {variant}: {difference}")
        except Exception as error:  # a peer that cannot do a case is not in its race
            failures[peer] = repr(error)[:300]
    times = race(contestants, options.rounds, options.seconds, clock)
    best = {}
    for name, (seconds, _) in times.items():
        if ": " in name:
            peer, variant = name.split(": ")
            if peer not in best or seconds < best[peer][0]:
                best[peer] = (seconds, variant)
    kernel = [k for k in library.kernels if case.is_of(k)]
    bandwidth = copy_bytes / times["copy"][0]
    seconds = times["ours"][0]
    return {"case": case.name, "group": case.group, "seconds": seconds, "bytes": case.bytes,
            "share_of_copy": case.bytes / seconds / bandwidth if case.bytes else None, "copy_bytes_per_second": bandwidth,
            "template": kernel[0]["template"] if kernel else None, "config": kernel[0]["config"] if kernel else None,
            "peers": {p: {"seconds": s, "variant": v} for p, (s, v) in best.items()},
            "times": {n: {"seconds": s, "samples": c} for n, (s, c) in times.items()}, "failures": failures}, wrong


def plot(results):
    """How many times faster than the fastest peer, a bar each; the line is 1."""
    row, left, width, top = 17, 330, 420, 40
    ratios = [(r["case"], min(p["seconds"] for p in r["peers"].values()) / r["seconds"]) for r in results if r["peers"]]
    if not ratios:
        return ""
    full = max(ratio for _, ratio in ratios) * 1.05
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 70}" height="{top + row * len(ratios) + 12}" font-family="sans-serif" '
           'font-size="11">', '<rect width="100%" height="100%" fill="white"/>',
           f'<text x="10" y="20" font-size="14" font-weight="bold">Times as fast as the fastest peer, {options.threads} thread(s)</text>']
    for i, (name, ratio) in enumerate(ratios):
        y = top + i * row
        out.append(f'<text x="{left - 8}" y="{y + 11}" text-anchor="end">{name}</text>')
        out.append(f'<rect x="{left}" y="{y + 2}" width="{ratio / full * width:.1f}" height="11" fill="{"#2b6cb0" if ratio >= 1 else "#c05621"}"/>')
        out.append(f'<text x="{left + ratio / full * width + 5:.1f}" y="{y + 11}">{ratio:.2f}</text>')
    one = left + width / full
    out.append(f'<line x1="{one:.1f}" x2="{one:.1f}" y1="{top}" y2="{top + row * len(ratios)}" stroke="#333"/></svg>')
    return "\n".join(out) + "\n"


def main():
    if options.list:
        tasks = [{"operator": c.operator, "workload": c.attributes, "count": 1} for c in CASES]
        print(json.dumps({"tasks": [{"operator": "machine_copy", "workload": {}, "count": 1}] + tasks}, indent=1))
        return 0
    if not options.library:
        parser.error("--library or --list")
    if not CASES:
        parser.error(f"no case contains '{options.only}'; there are: {', '.join(c.name for c in vision_cases.all_cases())}")
    peers = [p for p in options.peers.split(",") if p]
    unknown = [p for p in peers if p not in vision_peers.PEERS]
    if unknown:
        parser.error(f"no such peer: {', '.join(unknown)}; there are {', '.join(vision_peers.PEERS)}")
    versions = {}
    for peer in list(peers):
        try:
            versions[peer] = vision_peers.version_of(peer)
        except ImportError as error:
            print(f"{peer} is left out: {error}", file=sys.stderr)
            peers.remove(peer)
    options.peers = ",".join(peers)
    library = KernelLibrary(options.library, options.threads)
    copied = [k for k in library.kernels if k["operator"] == "machine_copy"]
    if not copied:
        sys.exit("the library has no machine_copy kernel: make it from the list that --list prints")
    size = copied[0]["workload"]["bytes"]
    copy = library.call("machine_copy", copied[0]["workload"], {"input": aligned(np.ones(size // 4, np.int32)), "output": aligned(np.ones(size // 4, np.int32))})
    print("; ".join(f"{peer} {version}" for peer, version in versions.items()) + f"; {options.threads} thread(s); {time.strftime('%Y-%m-%d')}\n")
    print("| case | ours, ms | of copying | template | fastest peer, ms | ratio | " + " | ".join(peers) + " |")
    print("|---" * (6 + len(peers)) + "|")
    results, wrong = [], []
    for case in CASES:
        result, mistakes = one_case(library, case, copy, 2 * size)
        results.append(result)
        wrong += mistakes
        for line in mistakes:
            print("WRONG " + line, file=sys.stderr)
        times = {p: v["seconds"] for p, v in result["peers"].items()}
        fastest = min(times, key=times.get, default=None)
        share = f"{result['share_of_copy'] * 100:.0f} %" if result["share_of_copy"] else "-"
        print(f"| {result['case']} | {result['seconds'] * 1e3:.3f} | {share} | {(result['template'] or 'fallback').removesuffix('_cpu')} | " +
              (f"{times[fastest] * 1e3:.3f} {fastest} | {times[fastest] / result['seconds']:.2f}" if fastest else "- | -") + " | " +
              " | ".join(f"{times[p] * 1e3:.3f}" if p in times else "-" for p in peers) + " |", flush=True)
        for peer, reason in result["failures"].items():
            print(f"  {peer} is not in the race of {case.name}: {reason}", file=sys.stderr)
    print()
    summaries = []
    for group in dict.fromkeys(r["group"] for r in results):
        some = [r for r in results if r["group"] == group]
        lines = {"the fastest peer": [min(p["seconds"] for p in r["peers"].values()) / r["seconds"] for r in some if r["peers"]]}
        for peer in peers:
            lines[peer] = [r["peers"][peer]["seconds"] / r["seconds"] for r in some if peer in r["peers"]]
        for of, ratios in lines.items():
            if ratios:
                summaries.append(f"{group} against {of}: geometric mean {geometric_mean(ratios):.2f}, lowest {min(ratios):.2f} ({len(ratios)} cases)")
    for line in summaries:
        print(f"- {line}")
    print(f"- copying 64 MiB: {min(r['copy_bytes_per_second'] for r in results) / 1e9:.1f} to {max(r['copy_bytes_per_second'] for r in results) / 1e9:.1f} GB/s, read and written")
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"threads": options.threads, "rounds": options.rounds, "versions": versions, "cases": results, "summary": summaries}, file, indent=1)
    if options.plot:
        with open(options.plot, "w") as file:
            file.write(plot(results))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
