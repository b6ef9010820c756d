"""Fixtures of nms: torchvision nms and batched_nms, ONNX Runtime NonMaxSuppression.

Boxes whose IoU with another is within 1e-4 of the threshold are dropped, so that rounding decides nothing. Scores are distinct where
torchvision is asked, which leaves the order of equal ones open. Needs numpy, torch, torchvision, onnx, onnxruntime.
"""
import numpy as np
import onnx
import onnxruntime
import torch
import torchvision
from onnx import TensorProto, helper

import fixture

random = np.random.default_rng(7)


def overlaps(a, b):
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = np.prod(np.maximum(high - low, 0), axis=2)
    area = lambda boxes: np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return both / (area(a)[:, None] + area(b)[None, :] - both)


def clustered(count, threshold):
    """Some ten jittered copies of each object."""
    boxes = np.empty((0, 4), np.float32)
    objects = random.uniform((0, 0, 16, 16), (640, 400, 300, 300), (max(1, count // 10), 4))
    while len(boxes) < count:
        x, y, w, h = objects[random.integers(len(objects))] * np.exp(random.normal(0, 0.08, 4))
        box = np.array([[x - w / 2, y - h / 2, x + w / 2, y + h / 2]], np.float32)
        if not (np.abs(overlaps(box.astype(np.float64), boxes.astype(np.float64)) - threshold) < 1e-4).any():
            boxes = np.concatenate([boxes, box])
    return boxes


def distinct_scores(count):
    return random.permutation(np.arange(1, count + 1) / (count + 1)).astype(np.float32)


def results(kept, max_out):
    kept = np.asarray(kept, np.int32)[:max_out]
    return np.concatenate([kept, np.full(max_out - len(kept), -1, np.int32)]), np.array([len(kept)], np.int32)


VISION = f"torch {torch.__version__}, torchvision {torchvision.__version__}"


def plain(name, count, threshold, max_out):
    boxes, scores = clustered(count, threshold), distinct_scores(count)
    kept = torchvision.ops.nms(torch.from_numpy(boxes), torch.from_numpy(scores), threshold)
    keep, number = results(kept.numpy(), max_out)
    fixture.write("nms", name, dict(n=count, max_out=max_out, iou_threshold=threshold), f"{VISION} nms",
                  {"boxes": boxes, "scores": scores, "keep": keep, "count": number})


def batched(name, count, threshold, max_out, score_threshold):
    boxes, scores, ids = clustered(count, threshold), distinct_scores(count), random.integers(0, 4, count, dtype=np.int32)
    chosen = np.flatnonzero(scores > np.float32(score_threshold))
    kept = torchvision.ops.batched_nms(*(torch.from_numpy(values[chosen]) for values in (boxes, scores, ids)), threshold)
    keep, number = results(chosen[kept.numpy()], max_out)
    fixture.write("nms", name, dict(n=count, max_out=max_out, iou_threshold=threshold, score_threshold=score_threshold, batched=True),
                  f"{VISION} batched_nms of the boxes above the score threshold",
                  {"boxes": boxes, "scores": scores, "class_ids": ids, "keep": keep, "count": number})


def onnx_form(name, batch, classes, count, threshold, max_out, score_threshold, center):
    boxes = np.stack([clustered(count, threshold) for _ in range(batch)])
    if center:
        boxes = np.concatenate([(boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]], axis=2)
    else:
        boxes[:, ::2] = boxes[:, ::2][..., [2, 3, 0, 1]]  # corners in the other order
    scores = (random.integers(0, 64, (batch, classes, count)) / 64).astype(np.float32)  # many are equal
    node = helper.make_node("NonMaxSuppression", ["b", "s", "m", "i", "t"], ["y"], center_point_box=int(center))
    constants = [helper.make_tensor("m", TensorProto.INT64, [1], [max_out]), helper.make_tensor("i", TensorProto.FLOAT, [1], [threshold]),
                 helper.make_tensor("t", TensorProto.FLOAT, [1], [score_threshold])]
    graph = helper.make_graph([node], "nms",
                              [helper.make_tensor_value_info("b", TensorProto.FLOAT, boxes.shape),
                               helper.make_tensor_value_info("s", TensorProto.FLOAT, scores.shape)],
                              [helper.make_tensor_value_info("y", TensorProto.INT64, [None, 3])], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=9)
    onnx.checker.check_model(model)
    rows = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"b": boxes, "s": scores})[0]
    lists = [[results(rows[(rows[:, 0] == image) & (rows[:, 1] == cls), 2], max_out) for cls in range(classes)] for image in range(batch)]
    fixture.write("nms", name,
                  dict(n=count, batch=batch, classes=classes, max_out=max_out, iou_threshold=threshold, score_threshold=score_threshold,
                       center_point_box=center),
                  f"ONNX Runtime {onnxruntime.__version__} NonMaxSuppression-11",
                  {"boxes": boxes, "scores": scores, "keep": np.array([[k for k, _ in row] for row in lists], np.int32),
                   "count": np.array([[c for _, c in row] for row in lists], np.int32)})


plain("torchvision_300", 300, 0.5, 300)
plain("torchvision_first_10", 120, 0.7, 10)
batched("torchvision_batched", 250, 0.45, 100, 0.25)
onnx_form("onnx_corners", 2, 3, 90, 0.5, 8, 0.3, False)
onnx_form("onnx_centers", 1, 4, 75, 0.6, 20, 0.1, True)
