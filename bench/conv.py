#!/usr/bin/env python3
"""Times the tuned convolutions of a generated kernel library beside other libraries, interleaved on the same data in one process.

bench/conv.sh sets everything up and calls this. By hand:
  python3 bench/conv.py kernels/ --peers onednn,ncnn --json conv.json      kernels/: what `lathe build` wrote, for a list of workloads
                                                                           with machine_fma among them
Peers do a layer twice: as ours does, with its activation fused where they can, which the table and the ratios are of; and the convolution with
its bias alone, which a second set of ratios is of. Each round calls every contestant in turn for --seconds; what counts is the 20 % quantile of all its calls, since noise only adds time. The
machine's multiply-add limit is a contestant like the others. Layers that add a residual are not raced: peers' convolutions add none, and bench/conv.sh
leaves the residuals out before it tunes. Exit status: 0; 1 when a result is wrong or nothing could be timed; 2 on misuse.
"""
import argparse
import json
import math
import os
import sys

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("library", help="folder of a kernel library")
parser.add_argument("--peers", default="onednn,onnxruntime,openvino,ncnn,mnn")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--rounds", type=int, default=7)
parser.add_argument("--seconds", type=float, default=0.03, help="of one contestant in one round")
parser.add_argument("--only", default="", help="layers whose name contains this")
parser.add_argument("--no-bare", action="store_true", help="peers do a layer with its activation only: half the time")
parser.add_argument("--json", help="file for all results")
options = parser.parse_args()
os.environ["OMP_NUM_THREADS"] = str(options.threads)
os.environ["KMP_BLOCKTIME"] = "0"  # no peer's idle threads spin while another is timed

import numpy as np  # noqa: E402  (reads OMP_NUM_THREADS)

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import conv_peers  # noqa: E402
from kernel_library import KernelLibrary, aligned, operator  # noqa: E402
from racing import geometric_mean, low, race  # noqa: E402


def fma_limit(library):
    """A function that does multiply-adds in registers, and how many floating point operations a call is."""
    found = [k for k in library.kernels if k["operator"] == "machine_fma"]
    if not found:
        sys.exit("the library has no machine_fma kernel: add its workload to the list that `lathe tune` and `lathe build` read (bench/conv.sh does)")
    workload = found[0]["workload"]
    ones = lambda count: aligned(np.ones(count, np.float32))
    names = list(operator("machine_fma")["tensors"])
    sizes = dict.fromkeys(names, 1) | {names[0]: workload["elements"], names[-1]: workload["elements"]}
    return library.call("machine_fma", workload, {name: ones(size) for name, size in sizes.items()}), 2 * workload["elements"] * workload["steps"]


def output_size(w):
    """Rows and columns."""
    rows = w["h"] + w["pad_top"] + w["pad_bottom"] - w["dilation_h"] * (w["r"] - 1) - 1
    columns = w["w"] + w["pad_left"] + w["pad_right"] - w["dilation_w"] * (w["s"] - 1) - 1
    return rows // w["stride_h"] + 1, columns // w["stride_w"] + 1


def ours(library, name, w, x, constants):
    """A function that runs the library's kernel, and one that gives its result as planes.  constants: weight, bias and what else there is, in order"""
    nhwc = w["layout"] == "nhwc"
    turn = lambda v: v.transpose(0, 2, 3, 1) if nhwc and v.ndim == 4 else v
    rows, columns = output_size(w)
    output = aligned(np.zeros((w["n"], rows, columns, w["k"]) if nhwc else (w["n"], w["k"], rows, columns), x.dtype))
    tensors = {"input": aligned(turn(x)), "output": output}
    tensors |= {t: aligned(turn(v)) for t, v in zip([t for t, f in operator(name)["tensors"].items() if f["role"] == "constant"], constants)}
    if not w["bias"]:
        del tensors["bias"]
    run = library.call(name, w, tensors)

    def result():
        run()
        return output.transpose(0, 3, 1, 2) if nhwc else output

    return run, result


def layer_name(w):
    window = f"{w['r']}x{w['s']}" + (f"/{w['stride_h']}" if w["stride_h"] > 1 else "")
    if w["groups"] == w["c"] and w["c"] > 1:
        return f"depthwise {window} {w['c']} @{w['h']}x{w['w']}"
    return f"{window} {w['c']}-{w['k']} @{w['h']}x{w['w']}" + (f" in {w['groups']} groups" if w["groups"] > 1 else "")


def algorithm(kernel):
    name = kernel["template"].removesuffix("_cpu")
    return f"{name} F({kernel['config']['OUTPUT']},3)" if name == "winograd" else name


def constants_of(name, w, random):
    """Input, then weight, bias and, for bytes, the scales that spread the outputs over all levels."""
    shape, kernel = (w["n"], w["c"], w["h"], w["w"]), (w["k"], w["c"] // w["groups"], w["r"], w["s"])
    if name == "conv2d":
        draw = lambda *of: random.uniform(-1, 1, of).astype(np.float32)
        return draw(*shape), [draw(*kernel), draw(w["k"]) if w["bias"] else np.zeros(w["k"], np.float32)]
    deviation = 74 * 74 * math.sqrt(math.prod(kernel[1:]))
    bias = (random.uniform(-1, 1, w["k"]) * deviation * w["bias"]).astype(np.int32)
    scale = ((0.5 + random.random(w["k"])) * 40 / deviation).astype(np.float32)
    return random.integers(0, 256, shape, np.uint8), [random.integers(-127, 128, kernel, np.int8), bias, scale]


def one_layer(library, kernel, fma, fma_flops):
    w, name = kernel["workload"], kernel["operator"]
    x, constants = constants_of(name, w, np.random.default_rng(1))
    run, result = ours(library, name, w, x, constants)
    # What peers do of the layer: all that ours does, and the convolution and its bias alone. Bytes have their clamps in the requantisation.
    tasks = {"whole": w["activation"], "bare": "none"} if name == "conv2d" and w["activation"] != "none" and not options.no_bare else {"whole": w["activation"]}
    contestants, own_seconds, deviation, failures = {"ours": run, "peak": fma}, {}, None, {}
    for peer in filter(None, options.peers.split(",")):
        if peer not in conv_peers.PEERS[name]:
            continue
        for task, activation in tasks.items():
            try:
                for contestant in conv_peers.PEERS[name][peer](w | {"activation": activation}, x, *constants, options.threads):
                    contestant.run()
                    key = (peer, task, contestant.variant)
                    contestants[key], own_seconds[key] = contestant.run, contestant.own_seconds
                    if deviation is None and task == "whole" and contestant.output is not None:
                        expected = contestant.output().astype(np.float64)
                        deviation = float(np.abs(result() - expected).max() / max(np.abs(expected).max(), 1e-30))
            except Exception as error:  # a peer that cannot do a layer is not in its race
                failures[f"{peer} ({task})"] = repr(error)[:300]
    times = race(contestants, options.rounds, options.seconds)
    for key, own in own_seconds.items():
        if own is not None:
            values = own()
            times[key] = (low(values), len(values))
    flops = 2.0 * w["k"] * (w["c"] // w["groups"]) * w["r"] * w["s"] * w["n"] * math.prod(output_size(w))
    # Four products of bytes take the place of one of floats.
    peak = fma_flops / times["peak"][0] * (4 if name == "quantized_conv2d" else 1)
    best = {task: {} for task in ("whole", "bare")}
    for key, (seconds, _) in times.items():
        if key in own_seconds:
            peer, task, _ = key
            for of in (task,) if len(tasks) == 2 else best:
                best[of][peer] = min(best[of].get(peer, math.inf), seconds)
    return {"layer": layer_name(w), "key": kernel["key"], "count": kernel["count"], "gflop": flops / 1e9, "algorithm": algorithm(kernel),
            "config": kernel["config"], "seconds": times["ours"][0], "share_of_peak": flops / times["ours"][0] / peak, "peak_gflops": peak / 1e9,
            "peers": best["whole"], "peers_bare": best["bare"],
            "times": {k if isinstance(k, str) else ": ".join(k): {"seconds": s, "samples": c} for k, (s, c) in times.items()},
            "deviation": deviation, "failures": failures, "workload": w}


def summary(layers, peers):
    """Sentences about all layers: ratios above 1 say that ours is faster."""
    lines = []
    for work, what in (("peers", ""), ("peers_bare", "their activation left out: ")):
        ratio = lambda l, of: min((l[work][p] for p in of if p in l[work]), default=math.nan) / l["seconds"]
        known = [l for l in layers if l[work]]
        if not known or (work == "peers_bare" and all(l["peers"] == l["peers_bare"] for l in layers)):
            continue
        dense3 = [l for l in known if l["workload"]["r"] == l["workload"]["s"] == 3 and l["workload"]["groups"] == 1
                  and l["workload"]["stride_h"] == l["workload"]["stride_w"] == 1]
        kinds = {"against the fastest peer of each layer": (known, peers), "stride-1 3x3 against ncnn and MNN": (dense3, ["ncnn", "mnn"]),
                 "depthwise against oneDNN and ONNX Runtime": ([l for l in known if l["workload"]["groups"] == l["workload"]["c"] > 1],
                                                               ["onednn", "onnxruntime"])}
        for kind, (some, of) in kinds.items():
            values = [v for v in (ratio(l, of) for l in some) if v == v]
            if values:
                lines.append(f"{what}{kind}: geometric mean {geometric_mean(values):.2f}, lowest {min(values):.2f} ({len(values)} layers)")
        mine = sum(l["seconds"] * l["count"] for l in layers)
        totals = {p: sum(l[work][p] * l["count"] for l in layers) for p in peers if all(p in l[work] for l in layers)}
        lines.append(f"{what}all layers by their counts: ours {mine * 1e3:.1f} ms" +
                     "".join(f", {p} {t * 1e3:.1f} ms" for p, t in sorted(totals.items(), key=lambda i: i[1])))
        lines.append(f"{what}the fastest peer layer by layer: {sum(min(l[work].values()) * l['count'] for l in known) * 1e3:.1f} ms")
    return lines


def main():
    library = KernelLibrary(options.library, options.threads)
    peers = [p for p in options.peers.split(",") if p]
    unknown = [p for p in peers if p not in conv_peers.PEERS["conv2d"]]
    if unknown:
        parser.error(f"no such peer: {', '.join(unknown)}; there are {', '.join(conv_peers.PEERS['conv2d'])}")
    versions = {}
    for peer in list(peers):
        try:
            versions[peer] = conv_peers.version_of(peer)
        except ImportError as error:
            print(f"{peer} is left out: {error}", file=sys.stderr)
            peers.remove(peer)
    options.peers = ",".join(peers)
    print("; ".join(f"{peer} {version}" for peer, version in versions.items()) + f"; {options.threads} thread(s); no residual is added, as peers' convolutions add none\n")
    fma, fma_flops = fma_limit(library)
    print("| layer | count | GFLOP | ours, ms | of peak | algorithm | fastest peer, ms | ratio | " + " | ".join(peers) + " |")
    print("|---" * (8 + len(peers)) + "|")
    layers, wrong = [], []
    for kernel in library.kernels:
        if kernel["operator"] not in conv_peers.PEERS or options.only not in layer_name(kernel["workload"]):
            continue
        if kernel["workload"].get("residual"):
            print(f"  {layer_name(kernel['workload'])} adds a residual and is not raced: tune and build it with residual=0", file=sys.stderr)
            continue
        layer = one_layer(library, kernel, fma, fma_flops)
        layers.append(layer)
        fastest = min(layer["peers"], key=layer["peers"].get, default=None)
        print(f"| {layer['layer']} | {layer['count']} | {layer['gflop']:.3f} | {layer['seconds'] * 1e3:.3f} | {layer['share_of_peak'] * 100:.0f} % | "
              f"{layer['algorithm']} | " + (f"{layer['peers'][fastest] * 1e3:.3f} {fastest} | {layer['peers'][fastest] / layer['seconds']:.2f}" if fastest else "- | -")
              + " | " + " | ".join(f"{layer['peers'][p] * 1e3:.3f}" if p in layer["peers"] else "-" for p in peers) + " |", flush=True)
        if layer["deviation"] is not None and not layer["deviation"] < (2 / 255 if kernel["operator"] == "quantized_conv2d" else 1e-3):
            wrong.append(f"{layer['layer']}: off by {layer['deviation']:.2g} of the largest output")
        for peer, reason in layer["failures"].items():
            print(f"  {peer} is not in this race: {reason}", file=sys.stderr)
    if not layers:
        sys.exit("the library has no convolution of that name")
    lines = summary(layers, peers)
    print()
    for line in lines:
        print(f"- {line}")
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"threads": options.threads, "rounds": options.rounds, "versions": versions, "layers": layers, "summary": lines}, file, indent=1)
    for line in wrong:
        print("WRONG " + line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
