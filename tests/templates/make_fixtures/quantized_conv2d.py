"""Makes templates/quantized_conv2d/data: small convolutions of bytes computed by ONNX Runtime's QLinearConv, which the reference is held to.

    python3 tests/templates/make_fixtures/quantized_conv2d.py templates/quantized_conv2d/data

Needs onnx, onnxruntime and numpy.
"""

import json
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

# Attributes left out have the defaults of operator.json.
CASES = {
    "padded_3x3_zero_point_128": dict(h=7, w=7, c=17, k=9, r=3, s=3, pad=(1, 1, 1, 1), bias=1, zero=128, out_zero=120, layout="nhwc"),
    "stem_7x7_stride_2": dict(h=15, w=18, c=3, k=8, r=7, s=7, stride=(2, 2), pad=(3, 3, 3, 3), bias=1, zero=114, out_zero=0, layout="nchw"),
    "pointwise_70_channels": dict(h=4, w=5, c=70, k=33, r=1, s=1, zero=0, out_zero=128, layout="nchw"),
    "uneven_strides_dilation_pads": dict(h=9, w=14, c=4, k=6, r=3, s=2, stride=(1, 3), dilation=(2, 3), pad=(2, 1, 0, 4), zero=200, out_zero=30, layout="nhwc"),
    "uneven_groups_of_3": dict(h=8, w=9, c=9, k=6, r=2, s=3, groups=3, stride=(2, 1), pad=(0, 2, 1, 0), bias=1, zero=5, out_zero=128, layout="nchw"),
    "depthwise_two_images": dict(n=2, h=7, w=6, c=10, k=10, r=3, s=3, groups=10, stride=(2, 2), pad=(1, 1, 1, 1), zero=128, out_zero=128, layout="nhwc"),
}


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    source = f"onnxruntime {onnxruntime.__version__} QLinearConv"
    print(source)
    for index, (name, case) in enumerate(CASES.items()):
        random = np.random.default_rng(index)
        n, groups = case.get("n", 1), case.get("groups", 1)
        top, left, bottom, right = case.get("pad", (0, 0, 0, 0))
        x = random.integers(0, 256, (n, case["c"], case["h"], case["w"]), np.uint8)
        w = random.integers(-128, 128, (case["k"], case["c"] // groups, case["r"], case["s"]), np.int8)
        deviation = 74 * 74 * (w[0].size ** 0.5)
        scale = ((0.5 + random.random(case["k"])) * 40 / deviation).astype(np.float32)
        bias = (random.uniform(-1, 1, case["k"]) * deviation).astype(np.int32)
        constants = {"xs": np.float32(1), "xz": np.uint8(case["zero"]), "w": w, "ws": scale, "wz": np.int8(0), "ys": np.float32(1),
                     "yz": np.uint8(case["out_zero"])}
        if case.get("bias"):
            constants["b"] = bias
        node = helper.make_node("QLinearConv", ["x", *constants], ["y"], strides=case.get("stride", (1, 1)), pads=[top, left, bottom, right],
                                dilations=case.get("dilation", (1, 1)), group=groups)
        graph = helper.make_graph([node], "layer", [helper.make_tensor_value_info("x", TensorProto.UINT8, x.shape)],
                                  [helper.make_tensor_value_info("y", TensorProto.UINT8, None)],
                                  [numpy_helper.from_array(np.array(value), key) for key, value in constants.items()])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        y = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]

        tensors = {"input": x, "weight": w, "output": y}
        if case["layout"] == "nhwc":
            tensors = {key: np.ascontiguousarray(value.transpose(0, 2, 3, 1)) for key, value in tensors.items()}
        tensors["scale"] = scale
        if case.get("bias"):
            tensors["bias"] = bias
        attributes = {key: case[key] for key in ("h", "w", "c", "k", "r", "s", "layout")}
        attributes.update(n=n, groups=groups, bias=case.get("bias", 0), input_zero_point=case["zero"], output_zero_point=case["out_zero"])
        attributes.update(zip(("stride_h", "stride_w"), case.get("stride", (1, 1))))
        attributes.update(zip(("dilation_h", "dilation_w"), case.get("dilation", (1, 1))))
        attributes.update(pad_top=top, pad_left=left, pad_bottom=bottom, pad_right=right)
        for key, value in tensors.items():
            (out / f"{name}.{key}.bin").write_bytes(value.tobytes())
        fixture = {"workload": "quantized_conv2d:" + ",".join(f"{key}={value}" for key, value in attributes.items()), "source": source,
                   "tensors": {key: f"{name}.{key}.bin" for key in tensors}}
        (out / f"{name}.json").write_text(json.dumps(fixture, indent=2) + "\n")


main()
