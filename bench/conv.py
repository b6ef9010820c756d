#!/usr/bin/env python3
"""Times the tuned convolutions of a generated kernel library beside other libraries, interleaved on the same data in one process.

bench/conv.sh sets everything up and calls this. By hand:
  python3 bench/conv.py kernels/ --peers onednn,ncnn --json conv.json      kernels/: what `lathe build` wrote, for a list of workloads
                                                                           with machine_fma among them
Each round calls every contestant in turn for --seconds; what counts is the 20 % quantile of all its calls, since noise only adds time. The
machine's multiply-add limit is a contestant like the others. Exit status: 0; 1 when a result is wrong or nothing could be timed; 2 on misuse.
"""
import argparse
import ctypes
import json
import math
import os
import subprocess
import sys
import time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("library", help="folder of a kernel library")
parser.add_argument("--peers", default="onednn,onnxruntime,openvino,ncnn,mnn")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--rounds", type=int, default=7)
parser.add_argument("--seconds", type=float, default=0.03, help="of one contestant in one round")
parser.add_argument("--only", default="", help="layers whose name contains this")
parser.add_argument("--json", help="file for all results")
options = parser.parse_args()
os.environ["OMP_NUM_THREADS"] = str(options.threads)
os.environ["KMP_BLOCKTIME"] = "0"  # no peer's idle threads spin while another is timed

import numpy as np  # noqa: E402  (reads OMP_NUM_THREADS)

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import conv_peers  # noqa: E402

SHAPE = ["n", "h", "w", "c", "k", "r", "s", "stride_h", "stride_w", "pad_top", "pad_left", "pad_bottom", "pad_right", "dilation_h", "dilation_w",
         "groups", "layout"]
FIELDS = {"conv2d": SHAPE + ["dtype", "bias", "activation"],
          "quantized_conv2d": SHAPE + ["bias", "activation", "input_zero_point", "output_zero_point"]}
CHOICES = {"layout": ["nhwc", "nchw"], "dtype": ["f32", "f16"], "activation": ["none", "relu", "relu6", "silu"]}  # numbered from 1


class ConvWorkload(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int64) for name in FIELDS["conv2d"]]


class QuantizedConvWorkload(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int64) for name in FIELDS["quantized_conv2d"]]


class FmaWorkload(ctypes.Structure):
    _fields_ = [("elements", ctypes.c_int64), ("steps", ctypes.c_int64)]


def load(folder):
    """Builds the library as one shared object and opens it."""
    build = os.path.join(folder, "build-shared")
    subprocess.run(["cmake", "-S", folder, "-B", build, "-DCMAKE_POSITION_INDEPENDENT_CODE=ON"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", build, "--target", "lathe_kernels", "-j", str(os.cpu_count())], check=True, stdout=subprocess.DEVNULL)
    shared = os.path.join(build, "kernels.so")
    subprocess.run(["c++", "-shared", "-o", shared, "-Wl,--whole-archive", os.path.join(build, "liblathe_kernels.a"), "-Wl,--no-whole-archive",
                    "-lpthread"], check=True)
    library = ctypes.CDLL(shared)
    library.lathe_last_error.restype = ctypes.c_char_p
    library.lathe_threads_create.restype = library.lathe_threads_parallel.restype = ctypes.c_void_p
    library.lathe_threads_parallel.argtypes = [ctypes.c_void_p]
    return library


def aligned(array):
    """A copy that begins on a 64-byte boundary."""
    room = np.empty(array.nbytes + 64, np.uint8)
    start = -room.ctypes.data % 64
    copy = room[start:start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def pointer(array):
    return ctypes.c_void_p(array.ctypes.data)


def must(library, status, what):
    if status != 0:
        raise RuntimeError(f"{what}: {library.lathe_last_error().decode()}")


def fma_limit(library, kernels, parallel):
    """A contestant that does multiply-adds in registers, and how many floating point operations a call is."""
    found = [k for k in kernels if k["operator"] == "machine_fma"]
    if not found:
        sys.exit("the library has no machine_fma kernel: add its workload to the list that `lathe tune` and `lathe build` read (bench/conv.sh does)")
    workload = FmaWorkload(**{name: found[0]["workload"][name] for name in ("elements", "steps")})
    handle = ctypes.c_void_p()
    must(library, library.lathe_machine_fma_create(ctypes.byref(workload), 1, ctypes.byref(handle)), "create machine_fma")
    start, one, out = aligned(np.ones(workload.elements, np.float32)), aligned(np.ones(1, np.float32)), aligned(np.ones(workload.elements, np.float32))
    arguments = (handle, pointer(start), pointer(one), pointer(one), pointer(out), parallel)
    run = library.lathe_machine_fma_run
    run.keep = (start, one, out)
    return conv_peers.Contestant("peak", lambda: run(*arguments)), 2 * workload.elements * workload.steps


def output_size(w):
    """Rows and columns."""
    rows = w["h"] + w["pad_top"] + w["pad_bottom"] - w["dilation_h"] * (w["r"] - 1) - 1
    columns = w["w"] + w["pad_left"] + w["pad_right"] - w["dilation_w"] * (w["s"] - 1) - 1
    return rows // w["stride_h"] + 1, columns // w["stride_w"] + 1


def ours(library, operator, attributes, x, constants, parallel):
    """The library's kernel as a contestant, and its handle.  constants: weight, bias and what else the operator takes, in its order."""
    struct = {"conv2d": ConvWorkload, "quantized_conv2d": QuantizedConvWorkload}[operator]
    workload = struct(**{name: CHOICES[name].index(value) + 1 if name in CHOICES else int(value) for name, value in attributes.items()})
    nhwc = attributes["layout"] == "nhwc"
    turn = lambda v: np.ascontiguousarray(v.transpose(0, 2, 3, 1)) if nhwc and v.ndim == 4 else v
    given, kept = aligned(turn(x)), [aligned(turn(v)) for v in constants]
    function = lambda name: getattr(library, f"lathe_{operator}_{name}")
    output = aligned(np.zeros((attributes["n"], attributes["k"], *output_size(attributes)), x.dtype))
    handle = ctypes.c_void_p()
    pointers = [pointer(v) for v in kept]
    if not attributes["bias"]:
        pointers[1] = None
    must(library, function("create")(ctypes.byref(workload), *pointers, 1, ctypes.byref(handle)), f"create {operator}")
    arguments = (handle, pointer(given), pointer(output), parallel)
    run = function("run")

    def result():
        run(*arguments)
        n, k, rows, columns = output.shape
        return output.reshape(n, rows, columns, k).transpose(0, 3, 1, 2) if nhwc else output

    keep = (given, kept, output)
    return conv_peers.Contestant("tuned", lambda keep=keep: run(*arguments), output=result), handle


def activated(values, activation):
    if activation in ("relu", "relu6"):
        values = np.maximum(values, 0)
    if activation == "relu6":
        values = np.minimum(values, 6)
    return values / (1 + np.exp(-values)) if activation == "silu" else values


def race(contestants):
    """{name: (seconds by the 20 % quantile, number of samples)}"""
    batches, samples = {}, {name: [] for name in contestants}
    for name, contestant in contestants.items():
        contestant.run()
        begin = time.perf_counter()
        contestant.run()
        batches[name] = 1 + int(2e-4 / max(time.perf_counter() - begin, 1e-7))  # short calls are timed several at a time
    for _ in range(options.rounds):
        for name, contestant in contestants.items():
            run, batch = contestant.run, batches[name]
            run()
            end = time.perf_counter() + options.seconds
            while True:
                begin = time.perf_counter()
                for _ in range(batch):
                    run()
                now = time.perf_counter()
                samples[name].append((now - begin) / batch)
                if now > end:
                    break
    for name, contestant in contestants.items():
        if contestant.own_seconds is not None:
            samples[name] = contestant.own_seconds() or [math.inf]
    return {name: (float(np.quantile(values, 0.2)), len(values)) for name, values in samples.items()}


def layer_name(w):
    window = f"{w['r']}x{w['s']}" + (f"/{w['stride_h']}" if w["stride_h"] > 1 else "")
    if w["groups"] == w["c"] and w["c"] > 1:
        return f"depthwise {window} {w['c']} @{w['h']}x{w['w']}"
    return f"{window} {w['c']}-{w['k']} @{w['h']}x{w['w']}" + (f" in {w['groups']} groups" if w["groups"] > 1 else "")


def algorithm(kernel):
    name = kernel["template"].removesuffix("_cpu")
    return f"{name} F({kernel['config']['OUTPUT']},3)" if name == "winograd" else name


def constants_of(operator, w, random):
    """Input, then weight, bias and, for bytes, the scales that spread the outputs over all levels."""
    shape, kernel = (w["n"], w["c"], w["h"], w["w"]), (w["k"], w["c"] // w["groups"], w["r"], w["s"])
    if operator == "conv2d":
        draw = lambda *of: random.uniform(-1, 1, of).astype(np.float32)
        return draw(*shape), [draw(*kernel), draw(w["k"]) if w["bias"] else np.zeros(w["k"], np.float32)]
    deviation = 74 * 74 * math.sqrt(math.prod(kernel[1:]))
    bias = (random.uniform(-1, 1, w["k"]) * deviation * w["bias"]).astype(np.int32)
    scale = ((0.5 + random.random(w["k"])) * 40 / deviation).astype(np.float32)
    return random.integers(0, 256, shape, np.uint8), [random.integers(-127, 128, kernel, np.int8), bias, scale]


def one_layer(library, kernel, fma, fma_flops, parallel):
    w, operator = kernel["workload"], kernel["operator"]
    x, constants = constants_of(operator, w, np.random.default_rng(1))
    mine, handle = ours(library, operator, w, x, constants, parallel)
    contestants = {"ours": mine, "peak": fma}
    expected, failures = None, {}
    for peer in options.peers.split(","):
        if peer not in conv_peers.PEERS[operator]:
            continue
        try:
            for contestant in conv_peers.PEERS[operator][peer](w, x, *constants, options.threads):
                contestant.run()
                contestants[f"{peer}: {contestant.variant}"] = contestant
                if expected is None and contestant.output is not None:
                    expected = contestant.output()
        except Exception as error:  # a peer that cannot do a layer is not in its race
            failures[peer] = repr(error)[:300]
    deviation = None
    if expected is not None:
        expected = activated(expected, w["activation"]).astype(np.float64)
        deviation = float(np.abs(mine.output() - expected).max() / max(np.abs(expected).max(), 1e-30))
    times = race(contestants)
    getattr(library, f"lathe_{operator}_destroy")(handle)
    flops = 2.0 * w["k"] * (w["c"] // w["groups"]) * w["r"] * w["s"] * w["n"] * math.prod(output_size(w))
    # Four products of bytes take the place of one of floats.
    peak = fma_flops / times["peak"][0] * (4 if operator == "quantized_conv2d" else 1)
    best = {}
    for name, (seconds, _) in times.items():
        if ": " in name:
            peer = name.split(": ")[0]
            best[peer] = min(best.get(peer, math.inf), seconds)
    return {"layer": layer_name(w), "key": kernel["key"], "count": kernel["count"], "gflop": flops / 1e9, "algorithm": algorithm(kernel),
            "config": kernel["config"], "seconds": times["ours"][0], "share_of_peak": flops / times["ours"][0] / peak, "peak_gflops": peak / 1e9,
            "peers": best, "times": {n: {"seconds": s, "samples": c} for n, (s, c) in times.items()}, "deviation": deviation, "failures": failures,
            "workload": w}


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values)) if values else math.nan


def summary(layers, peers):
    """Sentences about all layers: ratios above 1 say that ours is faster."""
    ratio = lambda l, of: min((l["peers"][p] for p in of if p in l["peers"]), default=math.nan) / l["seconds"]
    known = [l for l in layers if l["peers"]]
    against_best = [ratio(l, peers) for l in known]
    lines = [f"against the fastest peer of each layer: geometric mean {geometric_mean(against_best):.2f}, lowest {min(against_best, default=math.nan):.2f}"]
    kinds = {"stride-1 3x3 against ncnn and MNN": ([l for l in known if l["workload"]["r"] == l["workload"]["s"] == 3 and l["workload"]["groups"] == 1
                                                   and l["workload"]["stride_h"] == l["workload"]["stride_w"] == 1], ["ncnn", "mnn"]),
             "depthwise against oneDNN and ONNX Runtime": ([l for l in known if l["workload"]["groups"] == l["workload"]["c"] > 1],
                                                           ["onednn", "onnxruntime"])}
    for what, (some, of) in kinds.items():
        values = [v for v in (ratio(l, of) for l in some) if v == v]
        if values:
            lines.append(f"{what}: geometric mean {geometric_mean(values):.2f}, lowest {min(values):.2f} ({len(values)} layers)")
    mine = sum(l["seconds"] * l["count"] for l in layers)
    totals = {p: sum(l["peers"][p] * l["count"] for l in layers) for p in peers if all(p in l["peers"] for l in layers)}
    lines.append(f"all layers by their counts: ours {mine * 1e3:.1f} ms" + "".join(f", {p} {t * 1e3:.1f} ms" for p, t in sorted(totals.items(), key=lambda i: i[1])))
    if known:
        lines.append(f"the fastest peer layer by layer: {sum(min(l['peers'].values()) * l['count'] for l in known) * 1e3:.1f} ms")
    return lines


def main():
    with open(os.path.join(options.library, "report.json")) as file:
        kernels = json.load(file)["kernels"]
    library = load(options.library)
    parallel = None
    if options.threads > 1:
        parallel = ctypes.c_void_p(library.lathe_threads_parallel(library.lathe_threads_create(options.threads)))
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
    print("; ".join(f"{peer} {version}" for peer, version in versions.items()) + f"; {options.threads} thread(s)\n")
    fma, fma_flops = fma_limit(library, kernels, parallel)
    print("| layer | count | GFLOP | ours, ms | of peak | algorithm | fastest peer, ms | ratio | " + " | ".join(peers) + " |")
    print("|---" * (8 + len(peers)) + "|")
    layers, wrong = [], []
    for kernel in kernels:
        if kernel["operator"] not in FIELDS or options.only not in layer_name(kernel["workload"]):
            continue
        layer = one_layer(library, kernel, fma, fma_flops, parallel)
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
