"""Fixtures of preprocess: cv2.resize of the frame as floats, cv2.copyMakeBorder, cv2.cvtColor, then mean, scale and planes in numpy.

The frame is resized as floats because nothing rounds it between the steps here. NV12: cv2.resize of luma and of chroma, the standards' matrices in
numpy. Needs numpy, opencv-python-headless.
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


def nv12(name, h, w, oh, ow, kr, kb, matrix, full_range):
    """The inverse of Y = kr R + kg G + kb B, Cb = (B - Y)/(2 - 2 kb), Cr = (R - Y)/(2 - 2 kr), by solving for R G B."""
    frame = random.integers(0, 256, (1, h * 3 // 2, w), dtype=np.uint8)
    luma = cv2.resize(frame[0, :h].astype(np.float32), (ow, oh), interpolation=cv2.INTER_LINEAR).astype(np.float64)
    chroma = cv2.resize(frame[0, h:].reshape(h // 2, w // 2, 2).astype(np.float32), (ow, oh), interpolation=cv2.INTER_LINEAR).astype(np.float64)
    if not full_range:
        luma, chroma = (luma - 16) * 255 / 219, (chroma - 128) * 255 / 224
    else:
        chroma = chroma - 128
    kg = 1 - kr - kb
    to_yuv = np.array([[kr, kg, kb], [-kr / (2 - 2 * kb), -kg / (2 - 2 * kb), (1 - kb) / (2 - 2 * kb)],
                       [(1 - kr) / (2 - 2 * kr), -kg / (2 - 2 * kr), -kb / (2 - 2 * kr)]])
    yuv = np.concatenate([luma[..., None], chroma], -1)
    rgb = np.clip(np.linalg.solve(to_yuv, yuv.reshape(-1, 3).T).T.reshape(oh, ow, 3), 0, 255)
    fixture.write("preprocess", name, dict(n=1, h=h, w=w, oh=oh, ow=ow, letterbox=False, format="nv12", matrix=matrix, full_range=full_range),
                  f"OpenCV {cv2.__version__} cv2.resize; numpy {np.__version__}",
                  {"input": frame, "output": (rgb / 255).transpose(2, 0, 1)[None].astype(np.float32)})


nv12("nv12_bt601", 36, 64, 20, 24, 0.299, 0.114, "bt601", False)
nv12("nv12_bt709_full_range", 20, 30, 33, 41, 0.2126, 0.0722, "bt709", True)
