"""Makes templates/conv2d/data: small convolutions computed by PyTorch in double, which the reference is held to.

    python3 tests/templates/make_fixtures/conv2d.py templates/conv2d/data

Needs torch and numpy. The same seed gives the same files on any machine, up to the last bit of torch's sums.
"""

import json
import pathlib
import sys

import numpy as np
import torch

# Attributes left out have the defaults of operator.json.
CASES = {
    "same_3x3_nhwc": dict(h=6, w=7, c=5, k=9, r=3, s=3, pad=(1, 1, 1, 1), bias=1, activation="relu", layout="nhwc"),
    "same_3x3_nchw": dict(h=6, w=7, c=5, k=9, r=3, s=3, pad=(1, 1, 1, 1), bias=1, activation="relu", layout="nchw"),
    "stem_7x7_stride_2": dict(h=15, w=18, c=3, k=8, r=7, s=7, stride=(2, 2), pad=(3, 3, 3, 3), bias=1, activation="relu6", layout="nchw"),
    "pointwise_70_channels": dict(h=4, w=5, c=70, k=33, r=1, s=1, activation="silu", bias=1, layout="nhwc"),
    "uneven_strides_dilation_pads": dict(h=9, w=14, c=4, k=6, r=3, s=2, stride=(1, 3), dilation=(2, 3), pad=(2, 1, 0, 4), layout="nhwc"),
    "uneven_groups_of_3": dict(h=8, w=9, c=9, k=6, r=2, s=3, groups=3, stride=(2, 1), pad=(0, 2, 1, 0), bias=1, activation="silu", layout="nchw"),
    "depthwise_two_images": dict(n=2, h=7, w=6, c=10, k=10, r=3, s=3, groups=10, stride=(2, 2), pad=(1, 1, 1, 1), activation="relu6", layout="nhwc"),
    "depthwise_two_outputs_each": dict(h=5, w=6, c=4, k=8, r=3, s=3, groups=4, dilation=(2, 1), pad=(2, 1, 2, 1), bias=1, layout="nchw"),
    "more_rows_than_a_tile": dict(h=3, w=40, c=66, k=35, r=1, s=3, pad=(0, 1, 0, 1), layout="nchw"),
    "half_3x3_nchw": dict(h=7, w=6, c=11, k=7, r=3, s=3, pad=(1, 1, 1, 1), bias=1, activation="silu", layout="nchw", dtype="f16"),
    "half_strided_nhwc": dict(h=9, w=8, c=12, k=10, r=3, s=3, pad=(0, 1, 1, 0), stride=(2, 2), groups=2, layout="nhwc", dtype="f16"),
    "residual_grouped_nchw": dict(n=2, h=8, w=9, c=6, k=8, r=3, s=2, groups=2, stride=(2, 1), pad=(1, 0, 1, 1), bias=1, residual=1, activation="relu6", layout="nchw"),
    "residual_nhwc": dict(h=5, w=7, c=9, k=11, r=3, s=3, pad=(1, 1, 1, 1), residual=1, activation="silu", layout="nhwc"),
}


def activated(x, name):
    return {"none": lambda v: v, "relu": torch.relu, "relu6": lambda v: torch.clamp(v, 0, 6), "silu": torch.nn.functional.silu}[name](x)


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    source = f"torch {torch.__version__} conv2d in double"
    print(source)
    for index, (name, case) in enumerate(CASES.items()):
        random = np.random.default_rng(index)
        n, groups = case.get("n", 1), case.get("groups", 1)
        top, left, bottom, right = case.get("pad", (0, 0, 0, 0))
        nhwc = case["layout"] == "nhwc"
        element = "<f2" if case.get("dtype") == "f16" else "<f4"
        # Scaled so that relu6 has something to cut at both ends.
        x = random.uniform(-1, 1, (n, case["c"], case["h"], case["w"])).astype(element)
        w = random.uniform(-1, 1, (case["k"], case["c"] // groups, case["r"], case["s"])).astype(element)
        b = random.uniform(-1, 1, case["k"]).astype(element) if case.get("bias") else None
        padded = torch.nn.functional.pad(torch.from_numpy(x).double(), (left, right, top, bottom))
        y = torch.nn.functional.conv2d(padded, torch.from_numpy(w).double(), None if b is None else torch.from_numpy(b).double(),
                                       stride=case.get("stride", (1, 1)), dilation=case.get("dilation", (1, 1)), groups=groups)
        z = random.uniform(-1, 1, y.shape).astype(element) if case.get("residual") else None
        if z is not None:
            y = y + torch.from_numpy(z).double()
        y = activated(y, case.get("activation", "none")).numpy().astype(element)

        tensors = {"input": x, "weight": w, "output": y} | ({} if z is None else {"residual": z})
        if nhwc:
            tensors = {key: np.ascontiguousarray(value.transpose(0, 2, 3, 1)) for key, value in tensors.items()}
        if b is not None:
            tensors["bias"] = b
        attributes = {key: case[key] for key in ("h", "w", "c", "k", "r", "s", "residual", "layout", "dtype") if key in case}
        attributes.update(n=n, groups=groups, bias=case.get("bias", 0), activation=case.get("activation", "none"))
        attributes.update(zip(("stride_h", "stride_w"), case.get("stride", (1, 1))))
        attributes.update(zip(("dilation_h", "dilation_w"), case.get("dilation", (1, 1))))
        attributes.update(pad_top=top, pad_left=left, pad_bottom=bottom, pad_right=right)
        for key, value in tensors.items():
            (out / f"{name}.{key}.bin").write_bytes(value.astype(element).tobytes())
        fixture = {"workload": "conv2d:" + ",".join(f"{key}={value}" for key, value in attributes.items()), "source": source,
                   "tensors": {key: f"{name}.{key}.bin" for key in tensors}}
        (out / f"{name}.json").write_text(json.dumps(fixture, indent=2) + "\n")


main()
