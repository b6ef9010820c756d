"""Fixtures of preprocess: cv2.resize of the frame as floats, cv2.copyMakeBorder, cv2.cvtColor, then mean, scale and planes in numpy.

The frame is resized as floats because nothing rounds it between the steps here. Needs numpy, opencv-python-headless.
"""
import cv2
import numpy as np

import fixture

random = np.random.default_rng(6)


def compose(name, h, w, oh, ow, letterbox=True, pad_value=114, swap=True, mean=(0, 0, 0), scale=(1 / 255, 1 / 255, 1 / 255), n=1):
    frames, results = random.integers(0, 256, (n, h, w, 3), dtype=np.uint8), []
    for frame in frames:
        ratio = min(oh / h, ow / w)
        rh, rw = (round(h * ratio), round(w * ratio)) if letterbox else (oh, ow)
        shown = cv2.resize(frame.astype(np.float32), (rw, rh), interpolation=cv2.INTER_LINEAR)
        top, left = (oh - rh) // 2, (ow - rw) // 2
        shown = cv2.copyMakeBorder(shown, top, oh - rh - top, left, ow - rw - left, cv2.BORDER_CONSTANT, value=(pad_value,) * 3)
        if swap:
            shown = cv2.cvtColor(shown, cv2.COLOR_BGR2RGB)
        normalised = (shown - np.array(mean, np.float64)) * np.array(scale, np.float64)
        results.append(normalised.transpose(2, 0, 1).astype(np.float32))
    attributes = dict(n=n, h=h, w=w, oh=oh, ow=ow, letterbox=letterbox, pad_value=pad_value, swap=swap)
    for i in range(3):
        attributes[f"mean{i}"], attributes[f"scale{i}"] = mean[i], scale[i]
    fixture.write("preprocess", name, attributes, f"OpenCV {cv2.__version__} cv2.resize, copyMakeBorder, cvtColor; numpy {np.__version__}",
                  {"input": frames, "output": np.stack(results)})


compose("letterbox_wide", 36, 64, 40, 40)
compose("letterbox_tall", 50, 30, 33, 41, mean=(123.675, 116.28, 103.53), scale=(0.0171, 0.0175, 0.0174))
compose("stretched", 21, 37, 40, 30, letterbox=False, swap=False, n=2)
compose("enlarged", 9, 16, 32, 48, pad_value=0)
