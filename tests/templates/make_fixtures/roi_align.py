"""Fixtures of roi_align: torchvision (both alignments, fixed and adaptive grids, rois outside and turned around; a pyramid), ONNX Runtime RoiAlign.

Needs numpy, torch, torchvision, onnx, onnxruntime.
"""
import numpy as np
import onnx
import onnxruntime
import torch
import torchvision
from onnx import TensorProto, helper

import fixture

random = np.random.default_rng(8)


def draw(count, n, h, w, scale):
    size = random.uniform(0.1, 0.7, (count, 2)) * (w, h) / scale
    corner = random.uniform(-0.1, 0.8, (count, 2)) * (w, h) / scale
    return np.concatenate([corner, corner + size], axis=1).astype(np.float32), random.integers(0, n, count)


def vision(name, n, c, h, w, ph, pw, sampling_ratio, scale, aligned, count, layout="nchw", turned=False):
    image = random.uniform(-1, 1, (n, c, h, w)).astype(np.float32)
    boxes, images = draw(count, n, h, w, scale)
    if turned:
        boxes[0] = boxes[0][[2, 3, 0, 1]]
    rois = np.concatenate([images[:, None].astype(np.float32), boxes], axis=1)
    result = torchvision.ops.roi_align(torch.from_numpy(image), torch.from_numpy(rois), (ph, pw), scale, sampling_ratio or -1, aligned).numpy()
    if layout == "nhwc":
        image, result = image.transpose(0, 2, 3, 1), result.transpose(0, 2, 3, 1)
    fixture.write("roi_align", name,
                  dict(n=n, r=count, c=c, h=h, w=w, output_height=ph, output_width=pw, sampling_ratio=sampling_ratio, spatial_scale=scale,
                       aligned=aligned, batch_in_rois=True, layout=layout),
                  f"torch {torch.__version__}, torchvision {torchvision.__version__} roi_align", {"input": image, "rois": rois, "output": result})


def ort(name, n, c, h, w, ph, pw, sampling_ratio, scale, aligned, count):
    image = random.uniform(-1, 1, (n, c, h, w)).astype(np.float32)
    boxes, images = draw(count, n, h, w, scale)
    node = helper.make_node("RoiAlign", ["x", "r", "b"], ["y"], output_height=ph, output_width=pw, sampling_ratio=sampling_ratio,
                            spatial_scale=scale, coordinate_transformation_mode="half_pixel" if aligned else "output_half_pixel")
    graph = helper.make_graph([node], "roi_align",
                              [helper.make_tensor_value_info("x", TensorProto.FLOAT, image.shape),
                               helper.make_tensor_value_info("r", TensorProto.FLOAT, boxes.shape),
                               helper.make_tensor_value_info("b", TensorProto.INT64, images.shape)],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, [count, c, ph, pw])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=9)
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    result = session.run(None, {"x": image, "r": boxes, "b": images})[0]
    fixture.write("roi_align", name,
                  dict(n=n, r=count, c=c, h=h, w=w, output_height=ph, output_width=pw, sampling_ratio=sampling_ratio, spatial_scale=scale,
                       aligned=aligned, batch_in_rois=False, layout="nchw"),
                  f"ONNX Runtime {onnxruntime.__version__} RoiAlign-16",
                  {"input": image, "rois": boxes, "batch_indices": images, "output": result})


vision("torchvision_aligned", 2, 3, 15, 20, 7, 7, 2, 0.25, True, 6)
vision("torchvision_not_aligned", 2, 3, 15, 20, 7, 7, 2, 0.25, False, 6, layout="nhwc")
vision("torchvision_adaptive", 1, 3, 24, 31, 4, 5, 0, 0.125, True, 8)
vision("torchvision_adaptive_not_aligned", 1, 3, 24, 31, 4, 5, 0, 0.125, False, 8, layout="nhwc")
vision("torchvision_turned", 1, 2, 15, 20, 3, 3, 2, 0.5, True, 3, turned=True)
ort("onnx_half_pixel", 2, 3, 15, 20, 7, 7, 2, 0.25, True, 6)
ort("onnx_output_half_pixel", 2, 3, 15, 20, 5, 6, 0, 0.0625, False, 6)


def pyramid(name, n, c, h, w, levels, size, sampling_ratio, scale, canonical_size, count):
    maps = [random.uniform(-1, 1, (n, c, -(-h // 2**k), -(-w // 2**k))).astype(np.float32) for k in range(levels)]
    boxes, images = draw(count, n, h, w, scale)
    boxes[:, 2:] = boxes[:, :2] + (boxes[:, 2:] - boxes[:, :2]) * random.uniform(0.1, 1, (count, 1)).astype(np.float32)
    order = np.argsort(images, kind="stable")  # it takes lists by image, and gives results in their order
    boxes, images = boxes[order], images[order]
    pooler = torchvision.ops.MultiScaleRoIAlign([str(k) for k in range(levels)], size, sampling_ratio, canonical_scale=canonical_size, canonical_level=4)
    result = pooler({str(k): torch.from_numpy(m) for k, m in enumerate(maps)}, [torch.from_numpy(boxes[images == i]) for i in range(n)],
                    [(round(h / scale), round(w / scale))] * n).numpy()
    assert pooler.scales == [scale / 2**k for k in range(levels)], pooler.scales
    tensors = {"input": maps[0], "rois": boxes, "batch_indices": images, "output": result}
    tensors.update({f"level{k}": maps[k] for k in range(1, levels)})
    fixture.write("roi_align", name,
                  dict(n=n, r=count, c=c, h=h, w=w, output_height=size, output_width=size, sampling_ratio=sampling_ratio, spatial_scale=scale,
                       aligned=False, batch_in_rois=False, layout="nchw", levels=levels, canonical_size=canonical_size),
                  f"torch {torch.__version__}, torchvision {torchvision.__version__} MultiScaleRoIAlign", tensors)


pyramid("torchvision_pyramid", 2, 3, 32, 40, 4, 5, 2, 0.25, 48, 17)
