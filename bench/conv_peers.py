"""The libraries that bench/conv.py holds tuned convolutions against, each in its best layout with its weights prepacked.

A peer is a function of (workload, input, weight, bias, threads), with the scales behind the bias for bytes, that yields contestants: something to
call once, and, where the library times the layer apart from what its session does around it, a way to read those times. What is computed is
convolution, bias and the workload's activation.
"""
import collections
import json
import os
import subprocess
import sys
import tempfile

import numpy as np

# run() once a call. own_seconds(): the library's own times of every call so far, or None. output(): to compare, or None.
SCRATCH = tempfile.TemporaryDirectory(prefix="bench-conv-")

Contestant = collections.namedtuple("Contestant", "variant run own_seconds output", defaults=(None, None))


def onnx_file(w, weight, bias, path):
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], name="conv", kernel_shape=[w["r"], w["s"]], strides=[w["stride_h"], w["stride_w"]],
                            pads=[w["pad_top"], w["pad_left"], w["pad_bottom"], w["pad_right"]], dilations=[w["dilation_h"], w["dilation_w"]],
                            group=w["groups"])
    constants = {"w": weight, "b": bias}
    behind = []
    if w["activation"] != "none":
        node.output[0] = "z"
    if w["activation"] == "relu":
        behind = [helper.make_node("Relu", ["z"], ["y"])]
    elif w["activation"] == "relu6":
        constants |= {"low": np.float32(0), "high": np.float32(6)}
        behind = [helper.make_node("Clip", ["z", "low", "high"], ["y"])]
    elif w["activation"] == "silu":
        behind = [helper.make_node("Sigmoid", ["z"], ["gate"]), helper.make_node("Mul", ["z", "gate"], ["y"])]
    graph = helper.make_graph([node, *behind], "layer", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [w["n"], w["c"], w["h"], w["w"]])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
                              [numpy_helper.from_array(np.array(value), key) for key, value in constants.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)


def symmetric(w):
    return w["pad_top"] == w["pad_bottom"] and w["pad_left"] == w["pad_right"]


def onednn(w, x, weight, bias, threads):
    """oneDNN by way of torch's prepacked operator: channels last, and its own blocked layout from end to end."""
    import torch
    if not symmetric(w):
        return
    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    image, kernel, offset = (torch.from_numpy(v) for v in (x, weight, bias))
    pads, strides, dilations = [w["pad_top"], w["pad_left"]], [w["stride_h"], w["stride_w"]], [w["dilation_h"], w["dilation_w"]]
    packed = torch._C._nn.mkldnn_reorder_conv2d_weight(kernel.to_mkldnn(), pads, strides, dilations, w["groups"], list(x.shape))
    fused = {"none": ("none", []), "relu": ("relu", []), "relu6": ("hardtanh", [0.0, 6.0]), "silu": ("swish", [])}[w["activation"]]
    rest = (packed, offset, pads, strides, dilations, w["groups"], *fused, "")
    convolve = torch.ops.mkldnn._convolution_pointwise
    last, blocked = image.contiguous(memory_format=torch.channels_last), image.to_mkldnn()
    yield Contestant("nhwc", lambda: convolve(last, *rest), output=lambda: convolve(last, *rest).numpy())
    if w["activation"] != "none":
        return  # torch fuses nothing into it there
    blocked_offset = offset.to_mkldnn()
    yield Contestant("blocked", lambda: torch.conv2d(blocked, packed, blocked_offset, strides, pads, dilations, w["groups"]))


def onnxruntime(w, x, weight, bias, threads):
    """Its blocked layout; whole calls, and the convolution's own time by its profiler."""
    path = os.path.join(SCRATCH.name, "layer.onnx")
    onnx_file(w, weight, bias, path)
    yield from onnxruntime_sessions(path, x, threads)


def onnxruntime_sessions(model, x, threads):
    """model: a path or an onnx.ModelProto with input x and output y"""
    import onnxruntime as ort
    given = model if isinstance(model, str) else model.SerializeToString()

    def session(profile):
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
        if profile:
            options.enable_profiling, options.profile_file_prefix = True, os.path.join(SCRATCH.name, "profile")
        made = ort.InferenceSession(given, options, providers=["CPUExecutionProvider"])
        y = ort.OrtValue.ortvalue_from_numpy(made.run(None, {"x": x})[0])
        binding = made.io_binding()
        binding.bind_ortvalue_input("x", ort.OrtValue.ortvalue_from_numpy(x))
        binding.bind_ortvalue_output("y", y)
        return made, lambda: made.run_with_iobinding(binding), y

    _, call, y = session(False)
    yield Contestant("whole call", call, output=lambda: y.numpy())
    profiled, call, _ = session(True)

    def own():
        with open(profiled.end_profiling()) as file:
            events = json.load(file)
        nodes = {}  # all but the turning of layouts around them
        for event in events:
            if event.get("cat") == "Node" and event["name"].endswith("kernel_time") and event["args"].get("op_name") not in ("ReorderInput", "ReorderOutput", "Transpose"):
                nodes.setdefault(event["name"], []).append(event["dur"] / 1e6)
        return [sum(of) for of in zip(*nodes.values()) if sum(of) > 0][2:]

    yield Contestant("nodes alone", call, own)


def openvino(w, x, weight, bias, threads):
    import openvino as ov
    core = ov.Core()
    folder = SCRATCH.name
    path = os.path.join(folder, "layer.onnx")
    onnx_file(w, weight, bias, path)
    for profile in (False, True):
        request = core.compile_model(core.read_model(path), "CPU", {
            "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32",
            "PERF_COUNT": profile}).create_infer_request()
        request.set_input_tensor(ov.Tensor(x))
        if not profile:
            yield Contestant("whole call", request.infer, output=lambda request=request: np.array(request.get_output_tensor().data))
            continue
        times = []

        def call():
            request.infer()
            times.append(sum(p.real_time.total_seconds() for p in request.profiling_info
                             if p.node_type not in ("Parameter", "Result", "Constant", "Const", "Reorder", "Input", "Output")))

        yield Contestant("nodes alone", call, lambda: [t for t in times[2:] if t > 0])


def ncnn(w, x, weight, bias, threads):
    import ncnn as library
    if w["n"] != 1 or (w["groups"] > 1 and w["groups"] != w["c"]):
        return
    depthwise = w["groups"] > 1
    fields = {0: w["k"], 1: w["s"], 11: w["r"], 2: w["dilation_w"], 12: w["dilation_h"], 3: w["stride_w"], 13: w["stride_h"], 4: w["pad_left"],
              14: w["pad_top"], 15: w["pad_right"], 16: w["pad_bottom"], 5: 1, 6: weight.size}
    if depthwise:
        fields[7] = w["groups"]
    if w["activation"] == "relu":
        fields[9] = 1
    elif w["activation"] == "relu6":
        fields[9], fields[-23310] = 3, "2,0,6"
    lines = ["Input x 0 1 x", "%s conv 1 1 x %s %s" % ("ConvolutionDepthWise" if depthwise else "Convolution", "z" if w["activation"] == "silu" else "y",
                                                       " ".join(f"{k}={v}" for k, v in fields.items()))]
    if w["activation"] == "silu":
        lines.append("Swish swish 1 1 z y")
    folder = SCRATCH.name
    parameters, weights = os.path.join(folder, "layer.param"), os.path.join(folder, "layer.bin")
    with open(parameters, "w") as file:
        file.write("\n".join(["7767517", f"{len(lines)} {len(lines)}", *lines]) + "\n")
    with open(weights, "wb") as file:
        file.write(b"\0\0\0\0" + weight.tobytes() + bias.tobytes())
    net = library.Net()
    net.opt.num_threads = threads
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = net.opt.use_bf16_storage = False
    net.opt.use_packing_layout = net.opt.use_winograd_convolution = True
    net.opt.use_vulkan_compute = False
    net.load_param(parameters)
    net.load_model(weights)
    image = library.Mat(x[0]).clone()
    packed = library.Mat()
    pack = next(p for p in (16, 8, 4, 1) if w["c"] % p == 0)
    if pack > 1:
        library.convert_packing(image, packed, pack, net.opt)
    else:
        packed = image

    def call(from_image, kind):
        extractor = net.create_extractor()
        extractor.input("x", from_image)
        return extractor.extract("y", kind)[1]

    yield Contestant("planes", lambda: call(image, 0), output=lambda: np.array(call(image, 0))[None])
    yield Contestant("packed", lambda: call(packed, 1))


def mnn(w, x, weight, bias, threads):
    import MNN
    folder = SCRATCH.name
    path, converted = os.path.join(folder, "layer.onnx"), os.path.join(folder, "layer.mnn")
    onnx_file(w, weight, bias, path)
    # Not the `mnnconvert` script: its wrapper installs a package at run time and reports usage.
    made = subprocess.run([sys.executable, "-c", "import sys, _tools; _tools.mnnconvert(['mnnconvert'] + sys.argv[1:])", "-f", "ONNX", "--modelFile",
                           path, "--MNNModel", converted, "--bizCode", "b"], capture_output=True, text=True, env=dict(os.environ, PYTHONPATH=":".join(sys.path)))
    if not os.path.exists(converted):
        raise RuntimeError("MNN's converter failed: " + (made.stdout + made.stderr)[-300:])
    net = MNN.Interpreter(converted)
    session = net.createSession({"backend": "CPU", "numThread": threads, "precision": "high"})
    image = MNN.Tensor(list(x.shape), MNN.Halide_Type_Float, x.copy(), MNN.Tensor_DimensionType_Caffe)
    net.getSessionInput(session).copyFrom(image)
    yield Contestant("session", lambda: net.runSession(session))


def onednn_bytes(w, x, weight, bias, scale, threads):
    """oneDNN by way of torch's quantised operator, channels last."""
    import torch
    if not symmetric(w):
        return
    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    torch.backends.quantized.engine = "onednn"
    image = torch._make_per_tensor_quantized_tensor(torch.from_numpy(x), 1.0, w["input_zero_point"]).contiguous(memory_format=torch.channels_last)
    kernel = torch._make_per_channel_quantized_tensor(torch.from_numpy(weight), torch.from_numpy(scale).double(),
                                                      torch.zeros(w["k"], dtype=torch.long), 0)
    offset = torch.from_numpy((bias * scale).astype(np.float32))
    packed = torch.ops.quantized.conv2d_prepack(kernel, offset, [w["stride_h"], w["stride_w"]], [w["pad_top"], w["pad_left"]],
                                                [w["dilation_h"], w["dilation_w"]], w["groups"])
    convolve = torch.ops.quantized.conv2d_relu if w["activation"] == "relu" else torch.ops.quantized.conv2d
    run = lambda: convolve(image, packed, 1.0, w["output_zero_point"])
    yield Contestant("nhwc", run, output=lambda: run().int_repr().contiguous().numpy())


def onnxruntime_bytes(w, x, weight, bias, scale, threads):
    """QLinearConv; whole calls, and the convolution's own time by its profiler, without the turning of planes around it."""
    from onnx import TensorProto, helper, numpy_helper
    constants = {"xs": np.float32(1), "xz": np.uint8(w["input_zero_point"]), "w": weight, "ws": scale, "wz": np.int8(0), "ys": np.float32(1),
                 "yz": np.uint8(w["output_zero_point"]), "b": bias}
    node = helper.make_node("QLinearConv", ["x", *constants], ["y"], name="conv", strides=[w["stride_h"], w["stride_w"]], group=w["groups"],
                            pads=[w["pad_top"], w["pad_left"], w["pad_bottom"], w["pad_right"]], dilations=[w["dilation_h"], w["dilation_w"]])
    graph = helper.make_graph([node], "layer", [helper.make_tensor_value_info("x", TensorProto.UINT8, x.shape)],
                              [helper.make_tensor_value_info("y", TensorProto.UINT8, None)],
                              [numpy_helper.from_array(np.array(value), key) for key, value in constants.items()])
    yield from onnxruntime_sessions(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), x, threads)


PEERS = {"conv2d": {"onednn": onednn, "onnxruntime": onnxruntime, "openvino": openvino, "ncnn": ncnn, "mnn": mnn},
         "quantized_conv2d": {"onednn": onednn_bytes, "onnxruntime": onnxruntime_bytes}}


def version_of(peer):
    if peer == "onednn":
        import torch
        found = [line.strip(" -") for line in torch.__config__.show().splitlines() if "MKL-DNN" in line]
        return f"torch {torch.__version__}, " + (found[0].split(" (")[0] if found else "oneDNN")
    if peer == "mnn":
        import MNN
        return MNN.version()
    return getattr(__import__(peer), "__version__", "?")
