"""Other libraries on the cases of bench/vision.py. Each peer is a function (case, inputs, threads) -> [(variant, run, result or None)]: result() is
what run() computed last, as our output has it, where it is the same computation; None where only the time compares."""
import importlib

import numpy as np

from vision_cases import LEVELS, MEAN, SCALE, proposals


def version_of(peer):
    modules = {"opencv": ["cv2"], "pillow": ["PIL"], "torch": ["torch", "torchvision"], "onnxruntime": ["onnxruntime"], "openvino": ["openvino"]}
    return ", ".join(f"{m} {importlib.import_module(m).__version__}" for m in modules[peer])


class Last:
    """Keeps what a call returned."""

    def __init__(self, call, turn=np.asarray):
        self.call, self.turn, self.value = call, turn, None

    def run(self):
        self.value = self.call()

    def result(self):
        return self.turn(self.value)


# ---- OpenCV

def opencv(case, inputs, threads):
    import cv2
    cv2.setNumThreads(threads)
    a = case.attributes
    if case.operator == "resize" and a["layout"] == "nhwc":
        flag = {"nearest": cv2.INTER_NEAREST, "bilinear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA, "bicubic": cv2.INTER_CUBIC}[a["mode"]]
        source, out = inputs["input"][0], np.empty((a["oh"], a["ow"], a["c"]), inputs["input"].dtype)
        return [("resize", lambda: cv2.resize(source, (a["ow"], a["oh"]), dst=out, interpolation=flag), lambda: out.astype(np.float64))]
    if case.operator == "preprocess":
        return list(opencv_preprocess(cv2, a, inputs["input"][0], case.facts["letterbox"]))
    if case.operator == "nms":
        corners, scores = inputs["boxes"], inputs["scores"]
        rectangles = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], 1).astype(np.float64)
        if a["batched"]:
            return [("NMSBoxesBatched", lambda: cv2.dnn.NMSBoxesBatched(rectangles, scores, inputs["class_ids"], 0., a["iou_threshold"]), None)]
        return [("NMSBoxes", lambda: cv2.dnn.NMSBoxes(rectangles, scores, 0., a["iou_threshold"]), None)]
    return []


def opencv_preprocess(cv2, a, frame, letterbox):
    oh, ow = a["oh"], a["ow"]
    rh, rw = (round(a["h"] * ow / a["w"]), ow) if letterbox else (oh, ow)
    top = (oh - rh) // 2
    scale, shift = np.array(SCALE, np.float32), np.array([-m * s for m, s in zip(MEAN, SCALE)], np.float32)
    shown, planes = np.full((oh, ow, 3), 114, np.uint8), np.empty((3, oh, ow), np.float32)
    inside = shown[top:top + rh]

    def split():  # preallocated, planes by cv2.split, one multiply-add a plane
        cv2.resize(frame, (rw, rh), dst=inside)
        for i, channel in enumerate(reversed(cv2.split(shown))):
            cv2.multiply(channel, float(scale[i]), dst=planes[i], dtype=cv2.CV_32F)
            np.add(planes[i], shift[i], out=planes[i])
        return planes

    def convert():  # the same with convertTo's scale and shift in one call
        cv2.resize(frame, (rw, rh), dst=inside)
        for i, channel in enumerate(reversed(cv2.split(shown))):
            cv2.normalize(channel, planes[i], float(shift[i]), float(255 * scale[i] + shift[i]), cv2.NORM_MINMAX, cv2.CV_32F)
        return planes

    yield "resize, split, multiply", split, lambda: planes.copy()
    if not letterbox:  # one scale for all channels, which is less than asked for
        yield "blobFromImage", lambda: cv2.dnn.blobFromImage(frame, 1 / 58., (ow, oh), MEAN, swapRB=True), None
        parameters = cv2.dnn.Image2BlobParams()
        parameters.scalefactor, parameters.size, parameters.mean, parameters.swapRB = tuple(map(float, SCALE)) + (1.,), (ow, oh), MEAN + (0.,), True
        yield "blobFromImageWithParams", lambda: cv2.dnn.blobFromImageWithParams(frame, parameters), None


# ---- Pillow: antialiasing where it shrinks, pixels of four bytes; only its times compare

def pillow(case, inputs, threads):
    from PIL import Image
    a = case.attributes
    if case.operator != "resize" or a["layout"] != "nhwc" or a["dtype"] != "u8" or threads > 1:
        return []
    source, filters = Image.fromarray(inputs["input"][0]), Image.Resampling
    chosen = {"nearest": filters.NEAREST, "bilinear": filters.BILINEAR, "area": filters.BOX, "bicubic": filters.BICUBIC}[a["mode"]]
    return [("resize", lambda: source.resize((a["ow"], a["oh"]), chosen), None)]


# ---- torch, torchvision

def torch(case, inputs, threads):
    import torch
    import torchvision
    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    a = case.attributes
    tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
    if case.operator == "resize":
        if a["dtype"] == "u8" and a["mode"] == "area":
            return []
        channels_last = a["layout"] == "nhwc"
        source = tensors["input"].permute(0, 3, 1, 2) if channels_last else tensors["input"]
        more = {"align_corners": False} if a["mode"] in ("bilinear", "bicubic") else {}
        last = Last(lambda: torch.nn.functional.interpolate(source, (a["oh"], a["ow"]), mode=a["mode"], **more),
                    lambda v: (v.permute(0, 2, 3, 1) if channels_last else v).numpy().ravel().reshape(-1).astype(np.float64))
        whole = a["h"] % a["oh"] == 0 and a["w"] % a["ow"] == 0  # else torch's area has other windows
        return [("interpolate", last.run, last.result if a["mode"] != "area" or whole else None)]
    if case.operator == "preprocess" and not case.facts["letterbox"]:
        scale, shift = torch.tensor(SCALE).view(1, 3, 1, 1), torch.tensor([-m * s for m, s in zip(MEAN, SCALE)]).view(1, 3, 1, 1)
        frame = tensors["input"].permute(0, 3, 1, 2)

        def run():
            resized = torch.nn.functional.interpolate(frame, (a["oh"], a["ow"]), mode="bilinear", align_corners=False)
            return torch.addcmul(shift, resized.flip(1).to(torch.float32, memory_format=torch.contiguous_format), scale)
        last = Last(run, lambda v: v.numpy())
        return [("interpolate, addcmul", last.run, last.result)]
    if case.operator == "nms":
        if a["batched"]:
            call = lambda: torchvision.ops.batched_nms(tensors["boxes"], tensors["scores"], tensors["class_ids"], a["iou_threshold"])
        else:
            call = lambda: torchvision.ops.nms(tensors["boxes"], tensors["scores"], a["iou_threshold"])
        last = Last(call, lambda v: v.numpy())
        return [("nms", last.run, last.result)]
    if case.operator == "roi_align":
        rois, level = proposals()
        channels_last = a["layout"] == "nhwc"
        maps = [tensors["input" if k == 0 else f"level{k}"] for k in range(4)]
        maps = [m.permute(0, 3, 1, 2) if channels_last else m for m in maps]
        five = [torch.from_numpy(np.concatenate([np.zeros((int((level == k).sum()), 1), np.float32), rois[level == k]], 1)) for k in range(4)]
        size = a["output_height"]
        last = Last(lambda: [torchvision.ops.roi_align(maps[k], five[k], (size, size), 0.25 / 2**k, a["sampling_ratio"] or -1, a["aligned"])
                             for k in range(4)], lambda v: by_level(level, [x.numpy() for x in v], channels_last))
        return [("roi_align, level by level", last.run, last.result)]
    return []


def by_level(level, parts, channels_last):
    """Results of each level's rois [r, c, h, w] in the order of all rois."""
    whole = np.empty((len(level), *parts[0].shape[1:]), np.float32)
    for k, part in enumerate(parts):
        whole[level == k] = part
    return np.ascontiguousarray(whole.transpose(0, 2, 3, 1) if channels_last else whole).reshape(-1)


# ---- ONNX graphs, for ONNX Runtime and OpenVINO

def onnx_models(case, inputs):
    """[(model, feeds)] whose calls together are the case; None where there is no such operator."""
    from onnx import TensorProto as T, helper as h, numpy_helper
    a = case.attributes
    of = {np.dtype(np.float32): T.FLOAT, np.dtype(np.uint8): T.UINT8, np.dtype(np.int64): T.INT64}

    def model(node, feeds, out, out_type, constants=()):
        values = [h.make_tensor_value_info(n, of[v.dtype], list(v.shape)) for n, v in feeds.items()]
        graph = h.make_graph([node], "case", values, [h.make_tensor_value_info("y", out_type, out)],
                             [numpy_helper.from_array(v, n) for n, v in constants])
        return h.make_model(graph, opset_imports=[h.make_opsetid("", 18)], ir_version=8).SerializeToString(), feeds

    if case.operator == "resize" and a["mode"] != "area":
        x = inputs["input"]
        out = [1, a["oh"], a["ow"], 3] if a["layout"] == "nhwc" else [1, 3, a["oh"], a["ow"]]
        more = {"nearest": dict(mode="nearest", nearest_mode="floor", coordinate_transformation_mode="asymmetric"),
                "bilinear": dict(mode="linear"), "bicubic": dict(mode="cubic")}[a["mode"]]
        return [model(h.make_node("Resize", ["x", "", "", "z"], ["y"], **more), {"x": x}, out, of[x.dtype], [("z", np.array(out, np.int64))])]
    if case.operator == "nms" and not a["batched"]:
        feeds = {"b": np.ascontiguousarray(inputs["boxes"][:, [1, 0, 3, 2]][None]), "s": inputs["scores"][None, None].copy(),
                 "m": np.array([a["n"]], np.int64), "t": np.array([a["iou_threshold"]], np.float32)}
        return [model(h.make_node("NonMaxSuppression", ["b", "s", "m", "t"], ["y"]), feeds, ["k", 3], T.INT64)]
    if case.operator == "roi_align" and a["layout"] == "nchw":
        rois, level = proposals()
        models = []
        for k in range(len(LEVELS)):
            some = np.ascontiguousarray(rois[level == k])
            feeds = {"x": inputs["input" if k == 0 else f"level{k}"], "r": some, "i": np.zeros(len(some), np.int64)}
            node = h.make_node("RoiAlign", ["x", "r", "i"], ["y"], output_height=a["output_height"], output_width=a["output_width"],
                               sampling_ratio=a["sampling_ratio"], spatial_scale=0.25 / 2**k, mode="avg",
                               coordinate_transformation_mode="half_pixel" if a["aligned"] else "output_half_pixel")
            models.append(model(node, feeds, [len(some), 256, a["output_height"], a["output_width"]], T.FLOAT))
        return models
    return None


def result_of(case, values):
    if case.operator == "nms":
        return values[0][:, 2]
    if case.operator == "roi_align":
        return by_level(proposals()[1], values, False)
    return values[0].astype(np.float64).reshape(-1)


def onnxruntime(case, inputs, threads):
    models = onnx_models(case, inputs)
    if not models:
        return []
    import onnxruntime as ort
    settings = ort.SessionOptions()
    settings.intra_op_num_threads, settings.inter_op_num_threads, settings.log_severity_level = threads, 1, 3
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0" if threads > 1 else "1")
    runs = []
    for text, feeds in models:
        session = ort.InferenceSession(text, settings, providers=["CPUExecutionProvider"])
        values = {name: ort.OrtValue.ortvalue_from_numpy(v) for name, v in feeds.items()}
        runs.append((session, values))
    last = Last(lambda: [s.run_with_ort_values(["y"], v)[0] for s, v in runs], lambda v: result_of(case, [x.numpy() for x in v]))
    return [("session", last.run, last.result if case.attributes.get("mode") != "bicubic" or case.attributes["dtype"] == "f32" else None)]


def openvino(case, inputs, threads):
    import openvino as ov
    core = ov.Core()
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}

    def request(model, feeds):
        made = core.compile_model(model, "CPU", settings).create_infer_request()
        for i, value in enumerate(feeds):
            made.set_input_tensor(i, ov.Tensor(value))
        return made

    if case.operator == "preprocess" and not case.facts["letterbox"]:
        from openvino import opset13
        from openvino.preprocess import ColorFormat, PrePostProcessor, ResizeAlgorithm
        a = case.attributes
        parameter = opset13.parameter([1, 3, a["oh"], a["ow"]], np.float32, name="x")
        steps = PrePostProcessor(ov.Model([opset13.relu(parameter)], [parameter], "case"))
        tensor = steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
        tensor.set_color_format(ColorFormat.BGR).set_spatial_static_shape(a["h"], a["w"])
        steps.input().model().set_layout(ov.Layout("NCHW"))
        done = steps.input().preprocess().resize(ResizeAlgorithm.RESIZE_LINEAR).convert_element_type(ov.Type.f32).convert_color(ColorFormat.RGB)
        done.mean(list(MEAN)).scale([1 / s for s in SCALE])
        return [("PrePostProcessor", request(steps.build(), [inputs["input"]]).infer, None)]  # it antialiases
    models = onnx_models(case, inputs)
    if not models:
        return []
    requests = [request(core.read_model(text), list(feeds.values())) for text, feeds in models]

    def run():
        for one in requests:
            one.infer()
    # What it gives for bytes is rounded otherwise (downwards).
    same = case.operator != "resize" or case.attributes["dtype"] == "f32"
    return [("model", run, (lambda: result_of(case, [r.get_output_tensor(0).data for r in requests])) if same else None)]


PEERS = {"opencv": opencv, "pillow": pillow, "torch": torch, "onnxruntime": onnxruntime, "openvino": openvino}
