"""Fixtures of resize: OpenCV (nhwc, bilinear, bicubic, area), torch (bicubic, area by whole multiples) and ONNX Runtime (nchw, every coordinate
and nearest mode, sizes and scales, cubic).

Needs numpy, opencv-python-headless, onnx, onnxruntime, torch.
"""
import cv2
import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper

import fixture

random = np.random.default_rng(5)


def pixels(shape, dtype):
    return random.integers(0, 256, shape, dtype=np.uint8) if dtype == "u8" else random.uniform(-1, 1, shape).astype(np.float32)


def opencv(name, h, w, c, oh, ow, dtype, mode="bilinear"):
    image = pixels((h, w, c), dtype)
    flag = {"bilinear": "INTER_LINEAR", "bicubic": "INTER_CUBIC", "area": "INTER_AREA"}[mode]
    result = cv2.resize(image, (ow, oh), interpolation=getattr(cv2, flag)).reshape(oh, ow, c)
    fixture.write("resize", name, dict(n=1, c=c, h=h, w=w, oh=oh, ow=ow, dtype=dtype, layout="nhwc", mode=mode,
                                       coordinate_mode="half_pixel"),
                  f"OpenCV {cv2.__version__} cv2.resize {flag}", {"input": image, "output": result})


def pytorch(name, h, w, c, oh, ow, mode):
    image = pixels((2, c, h, w), "f32")
    options = dict(align_corners=False) if mode == "bicubic" else {}
    result = torch.nn.functional.interpolate(torch.from_numpy(image), (oh, ow), mode=mode, **options).numpy()
    fixture.write("resize", name, dict(n=2, c=c, h=h, w=w, oh=oh, ow=ow, dtype="f32", layout="nchw", mode=mode, coordinate_mode="half_pixel"),
                  f"torch {torch.__version__} interpolate {mode}", {"input": image, "output": result})


def ort(name, h, w, oh, ow, mode, coordinate_mode, nearest_mode="round_prefer_floor", scales=None, dtype="f32", n=1, c=2):
    image = pixels((n, c, h, w), dtype)
    element = TensorProto.UINT8 if dtype == "u8" else TensorProto.FLOAT
    attributes = dict(mode={"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode), coordinate_transformation_mode=coordinate_mode)
    if mode == "nearest":
        attributes["nearest_mode"] = nearest_mode
    if scales:
        extra, inputs = helper.make_tensor("s", TensorProto.FLOAT, [4], [1, 1, *scales]), ["x", "", "s"]
    else:
        extra, inputs = helper.make_tensor("s", TensorProto.INT64, [4], [n, c, oh, ow]), ["x", "", "", "s"]
    graph = helper.make_graph([helper.make_node("Resize", inputs, ["y"], **attributes)], "resize",
                              [helper.make_tensor_value_info("x", element, [n, c, h, w])],
                              [helper.make_tensor_value_info("y", element, [n, c, oh, ow])], [extra])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    result = session.run(None, {"x": image})[0]
    assert result.shape == (n, c, oh, ow), result.shape
    workload = dict(n=n, c=c, h=h, w=w, oh=oh, ow=ow, dtype=dtype, layout="nchw", mode=mode, coordinate_mode=coordinate_mode)
    if mode == "nearest":
        workload["nearest_mode"] = nearest_mode
    if scales:
        workload.update(scale_h=float(np.float32(scales[0])), scale_w=float(np.float32(scales[1])))
    fixture.write("resize", name, workload, f"ONNX Runtime {onnxruntime.__version__} Resize-19", {"input": image, "output": result})


opencv("opencv_u8_down", 37, 53, 3, 20, 31, "u8")
opencv("opencv_u8_up", 13, 11, 3, 29, 40, "u8")
opencv("opencv_u8_third", 36, 48, 1, 12, 16, "u8")
opencv("opencv_f32_down", 37, 53, 3, 20, 31, "f32")
opencv("opencv_f32_up", 13, 11, 4, 29, 40, "f32")
for coordinate_mode in ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]:
    ort(f"onnx_bilinear_{coordinate_mode}_up", 9, 7, 20, 17, "bilinear", coordinate_mode)
    ort(f"onnx_bilinear_{coordinate_mode}_down", 21, 26, 10, 1, "bilinear", coordinate_mode)
    for nearest_mode in ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]:
        ort(f"onnx_nearest_{coordinate_mode}_{nearest_mode}", 8, 6, 13, 9, "nearest", coordinate_mode, nearest_mode, n=2)
ort("onnx_bilinear_scales", 17, 19, 11, 13, "bilinear", "half_pixel", scales=(0.67, 0.7))
ort("onnx_bilinear_u8", 17, 19, 30, 13, "bilinear", "half_pixel", dtype="u8", c=3)
ort("onnx_nearest_scales", 10, 10, 4, 27, "nearest", "asymmetric", "floor", scales=(0.45, 2.75))
# Behind the others, so that theirs stay as they are.
for dtype in ["u8", "f32"]:
    opencv(f"opencv_bicubic_{dtype}_down", 37, 53, 3, 20, 31, dtype, "bicubic")
    opencv(f"opencv_bicubic_{dtype}_up", 13, 11, 3, 29, 40, dtype, "bicubic")
    opencv(f"opencv_area_{dtype}_down", 37, 53, 3, 20, 31, dtype, "area")
    opencv(f"opencv_area_{dtype}_half", 36, 48, 3, 18, 24, dtype, "area")
    opencv(f"opencv_area_{dtype}_up", 13, 11, 1, 29, 40, dtype, "area")
pytorch("torch_bicubic_down", 21, 30, 2, 11, 17, "bicubic")
pytorch("torch_area_third", 27, 36, 2, 9, 12, "area")
for coordinate_mode in ["half_pixel", "align_corners", "asymmetric"]:
    ort(f"onnx_bicubic_{coordinate_mode}", 9, 17, 14, 12, "bicubic", coordinate_mode)
ort("onnx_bicubic_scales", 17, 19, 11, 13, "bicubic", "half_pixel", scales=(0.67, 0.7))
