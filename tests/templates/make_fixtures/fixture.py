"""Writes what an independent implementation computed as templates/OPERATOR/data/NAME.json with raw tensors beside it."""
import json
import pathlib

import numpy as np

TEMPLATES = pathlib.Path(__file__).resolve().parents[3] / "templates"


def write(operator, name, attributes, source, tensors):
    """attributes: those that are not defaults; tensors: name -> array, in the dtype of operator.json."""
    folder = TEMPLATES / operator / "data"
    folder.mkdir(exist_ok=True)
    text = lambda v: str(int(v)) if isinstance(v, bool) else str(v)
    files = {}
    for tensor, values in tensors.items():
        files[tensor] = f"{name}.{tensor}.bin"
        np.ascontiguousarray(values).tofile(folder / files[tensor])
    workload = operator + ":" + ",".join(f"{k}={text(attributes[k])}" for k in sorted(attributes))
    fixture = {"workload": workload, "source": source, "tensors": files}
    (folder / f"{name}.json").write_text(json.dumps(fixture, indent=2) + "\n")
