"""What bench/vision.py times: workloads, their data, and when two results are the same."""
import numpy as np

SIZES = {"1080p-640": (1080, 1920, 640, 640), "4k-1080p": (2160, 3840, 1080, 1920)}
MEAN, SCALE = (123.675, 116.28, 103.53), (0.01712475, 0.01750700, 0.01742919)
LEVELS = [(200, 336), (100, 168), (50, 84), (25, 42)]  # P2 to P5 of a 800 x 1344 image


class Case:
    def __init__(self, name, group, operator, attributes, inputs, outputs, difference, byte_count=None, **facts):
        self.name, self.group, self.operator, self.attributes, self.inputs, self.outputs = name, group, operator, attributes, inputs, outputs
        self.difference, self.bytes, self.facts = difference, byte_count, facts

    def is_of(self, kernel):
        same = lambda a, b: abs(a - b) < 1e-9 if isinstance(a, float) or isinstance(b, float) else a == b
        return kernel["operator"] == self.operator and all(same(kernel["workload"].get(k), v) for k, v in self.attributes.items())


def image(h, w, c=3, dtype=np.uint8, seed=1):
    """Smooth gradients and texture, so that a wrong place shows."""
    random, (y, x) = np.random.default_rng(seed), np.mgrid[0:h, 0:w].astype(np.float32)
    planes = [127 + 90 * np.sin(x / (37 + 9 * k) + y / (53 - 7 * k)) + random.normal(0, 12, (h, w)) for k in range(c)]
    values = np.clip(np.stack(planes, -1), 0, 255)
    return np.ascontiguousarray(values.astype(np.uint8) if dtype == np.uint8 else (values / 255).astype(np.float32))


def off_by(limit):
    def difference(outputs, expected):
        ours = outputs["output"].astype(np.float64).reshape(expected.shape)
        most = np.abs(ours - expected).max()
        return f"off by {most:.3g}" if not most <= limit else ""
    return difference


def resize_cases():
    for size, (h, w, oh, ow) in SIZES.items():
        for layout in ("nhwc", "nchw"):
            for dtype in (np.uint8, np.float32):
                for mode in ("nearest", "bilinear", "area", "bicubic") if layout == "nhwc" else ("bilinear",):
                    short = "u8" if dtype == np.uint8 else "f32"
                    attributes = dict(n=1, c=3, h=h, w=w, oh=oh, ow=ow, mode=mode, layout=layout, dtype=short)
                    if mode == "nearest":
                        attributes.update(coordinate_mode="asymmetric", nearest_mode="floor")
                    # Rows that no output row needs are not read.
                    rows = min(h, oh * {"nearest": 1, "bilinear": 2, "area": h, "bicubic": 4}[mode])
                    place = (lambda v: v[None]) if layout == "nhwc" else (lambda v: np.ascontiguousarray(v.transpose(2, 0, 1)[None]))
                    yield Case(f"resize {size} {short} {layout} {mode}", f"resize {layout}", "resize", attributes,
                               lambda h=h, w=w, dtype=dtype, place=place: {"input": place(image(h, w, dtype=dtype))},
                               lambda oh=oh, ow=ow, dtype=dtype: {"output": np.zeros(oh * ow * 3, dtype)},
                               off_by(1 if dtype == np.uint8 else 2e-4), 3 * np.dtype(dtype).itemsize * (rows * w + oh * ow))


def preprocess_cases():
    for size, (h, w) in {"1080p": (1080, 1920), "4k": (2160, 3840)}.items():
        for letterbox in (False, True):
            attributes = dict(n=1, h=h, w=w, oh=640, ow=640, letterbox=letterbox, swap=True)
            for i in range(3):
                attributes[f"mean{i}"], attributes[f"scale{i}"] = MEAN[i], SCALE[i]
            shown = 360 if letterbox else 640
            # A peer that rounds the resized frame to bytes is up to half a level off, and one more by its fixed-point weights.
            yield Case(f"preprocess {size}-640 {'letterbox' if letterbox else 'stretched'}", "preprocess", "preprocess", attributes,
                       lambda h=h, w=w: {"input": image(h, w)[None]}, lambda: {"output": np.zeros(3 * 640 * 640, np.float32)},
                       off_by(1.5 * max(SCALE)), 3 * w * min(h, 2 * shown) + 12 * 640 * 640, letterbox=letterbox)


def boxes(n, seed=7, width=1344, height=800, per=20, classes=80):
    """A detector's raw output: jittered copies of each object, n/per objects; distinct scores, so that the kept boxes are one set."""
    random, objects = np.random.default_rng(seed + n), max(1, n // per)
    cx, cy = random.uniform(0, width, objects), random.uniform(0, height, objects)
    size, aspect = np.exp(random.uniform(np.log(16), np.log(400), objects)), np.exp(random.uniform(-.7, .7, objects))
    k = random.integers(0, objects, n)
    w = size[k] * np.sqrt(aspect[k]) * np.exp(random.normal(0, .12, n))
    h = size[k] / np.sqrt(aspect[k]) * np.exp(random.normal(0, .12, n))
    x, y = cx[k] + random.normal(0, .08, n) * w, cy[k] + random.normal(0, .08, n) * h
    corners = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], 1)
    corners[:, 0::2], corners[:, 1::2] = np.clip(corners[:, 0::2], 0, width), np.clip(corners[:, 1::2], 0, height)
    corners[:, 2], corners[:, 3] = np.maximum(corners[:, 2], corners[:, 0] + 1), np.maximum(corners[:, 3], corners[:, 1] + 1)
    scores = (np.argsort(np.argsort(random.uniform(.05, 1, n))) + 1) / (n + 1)
    return corners.astype(np.float32), scores.astype(np.float32), (k % classes).astype(np.int32)


def same_indices(outputs, expected):
    ours = outputs["keep"][:int(outputs["count"][0])]
    if len(ours) != len(expected):
        return f"keeps {len(ours)} boxes, not {len(expected)}"
    differing = np.flatnonzero(ours != expected)
    return f"keep[{differing[0]}] and {len(differing) - 1} more differ" if len(differing) else ""


def nms_cases():
    for batched in (False, True):
        for n in (1000, 6000, 12000):
            for threshold in (0.5, 0.7):
                def inputs(n=n, batched=batched):
                    corners, scores, classes = boxes(n)
                    return {"boxes": corners, "scores": scores} | ({"class_ids": classes} if batched else {})
                yield Case(f"nms {n} boxes, IoU {threshold}{', 80 classes' if batched else ''}", "nms of classes" if batched else "nms", "nms",
                           dict(n=n, max_out=n, iou_threshold=threshold, batched=batched), inputs,
                           lambda n=n: {"keep": np.zeros(n, np.int32), "count": np.zeros(1, np.int32)}, same_indices)


def proposals(count=1000, seed=11, width=1344, height=800):
    """Boxes, and the level of each by FPN's rule."""
    random = np.random.default_rng(seed)
    size, aspect = np.exp(random.normal(np.log(110), .85, count)).clip(12, 700), np.exp(random.normal(0, .4, count))
    w, h = np.minimum(size * np.sqrt(aspect), width - 2), np.minimum(size / np.sqrt(aspect), height - 2)
    x, y = random.uniform(0, 1, count) * (width - w), random.uniform(0, 1, count) * (height - h)
    corners = np.stack([x, y, x + w, y + h], 1).astype(np.float32)
    sides = (corners[:, 2:] - corners[:, :2]).astype(np.float64)
    return corners, np.clip(np.floor(4 + np.log2(np.sqrt(sides[:, 0] * sides[:, 1]) / 224 + 1e-6)), 2, 5).astype(int) - 2


def roi_cases():
    for size in (7, 14):
        for ratio in (2, 0) if size == 7 else (2,):
            for layout in ("nchw", "nhwc"):
                def inputs(layout=layout):
                    random, (rois, _) = np.random.default_rng(0), proposals()
                    found = {"rois": rois, "batch_indices": np.zeros(len(rois), np.int64)}
                    for k, (h, w) in enumerate(LEVELS):
                        shape = (1, 256, h, w) if layout == "nchw" else (1, h, w, 256)
                        found["input" if k == 0 else f"level{k}"] = random.standard_normal(shape, np.float32)
                    return found
                pixels = sum(h * w for h, w in LEVELS)
                yield Case(f"roi_align {size}x{size} {layout} {'2x2 samples' if ratio else 'adaptive'}", f"roi_align {layout}", "roi_align",
                           dict(n=1, r=1000, c=256, h=200, w=336, output_height=size, output_width=size, sampling_ratio=ratio, spatial_scale=0.25,
                                aligned=ratio == 0, layout=layout, levels=4), inputs,
                           lambda size=size: {"output": np.zeros(1000 * 256 * size * size, np.float32)}, off_by(2e-3),
                           4 * (256 * pixels + 1000 * 256 * size * size))


def all_cases():
    return [*resize_cases(), *preprocess_cases(), *nms_cases(), *roi_cases()]
