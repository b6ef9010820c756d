#!/usr/bin/env python3
"""Would a cost model predict GPU kernels better if it knew registers, spills, shared memory, code size and occupancy of every candidate? Asked of spaces
that others measured on real GPUs, whose kernels NVRTC builds here.

    bench/search/gpu_build_facts.py HUB SPACES OUT [--configs 300] [--nvrtc LIBRARY]

HUB: a checkout of AutoTuningAssociation/benchmark_hub, for the kernels. SPACES: the recorded spaces. OUT: a folder, which keeps the facts. Needs
scikit-learn. For each space so many of its working configs, drawn at random, are built for the GPU's architecture; then as build_facts.py: Gaussian
processes learn from 20 or 40 of them and order the rest, with the parameters alone, with the facts alone, with both.
"""
import argparse
import csv
import ctypes
import gzip
import json
import math
import random
import re
import statistics
import warnings
from pathlib import Path

import numpy
from build_facts import LEARNT, fact_columns, parameter_columns, quality


class Case:
    """A recorded space and the source of its kernel."""

    def __init__(self, space, kernel, files, threads, where=lambda config: True, prefix=""):
        self.space, self.kernel, self.files, self.threads, self.where, self.prefix = space, kernel, files, threads, where, prefix


def block(config):
    return int(config["block_size_x"]) * int(config.get("block_size_y", 1))


GEMM = [f"kernels/gemm_milo/{name}.opencl" for name in ("common", "xgemm_part1", "xgemm_part2", "xgemm_part3", "xgemm_part4")]
CASES = [  # all of sm_86
    Case("convolution_A4000", "convolution_kernel", ["kernels/convolution_milo.cu"], block, lambda config: config["use_shmem"] == "1"),
    Case("dedispersion_A4000", "dedispersion_kernel", ["kernels/dedisp_milo/dedispersion.h", "kernels/dedisp_milo/dedispersion.cu"], block),
    Case("pnpoly_RTX_3090", "cn_pnpoly", ["currently_unused/kernels/pnpoly.cu"], block),
    Case("gemm_RTX_3090", "Xgemm", ["kernels/gemm_milo/cl_to_cuda.h"] + GEMM, lambda config: int(config["MDIMC"]) * int(config["NDIMC"])),
    Case("convolutionkt_RTX_3090", "convolution_kernel", ["currently_unused/kernels/convolution.cu"], block),
]


class Nvrtc:
    def __init__(self, path):
        self.library = ctypes.CDLL(path)

    def build(self, source):
        """The cubin's size and ptxas's log, or None where it does not compile."""
        program, size = ctypes.c_void_p(), ctypes.c_size_t()
        options = (ctypes.c_char_p * 3)(b"--gpu-architecture=sm_86", b"--ptxas-options=-v", b"--std=c++14")
        self.library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernel.cu", 0, None, None)
        failed = self.library.nvrtcCompileProgram(program, 3, options)
        self.library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        self.library.nvrtcGetProgramLog(program, log)
        self.library.nvrtcGetCUBINSize(program, ctypes.byref(size))
        self.library.nvrtcDestroyProgram(ctypes.byref(program))
        return None if failed else (size.value, log.value.decode())


def occupancy(threads, registers, shared):
    """Of sm_86: 48 warps, 16 groups, 65,536 registers in portions of 256 a warp, 100 KiB of shared memory, 1 KiB of it taken by each group."""
    warps = -(-threads // 32)
    registers_of_warp = -(-registers * 32 // 256) * 256
    groups = min(16, 48 // warps, 65536 // (registers_of_warp * warps), 102400 // (shared + 1024))
    return groups * warps / 48


def facts_of(log, cubin_bytes, case, config):
    # One paragraph a kernel: its (mangled) name, then what it takes.
    for part in re.split(r"ptxas info\s*: Compiling entry function", log)[1:]:
        if case.kernel not in part.split("'")[1] or "naive" in part.split("'")[1]:
            continue
        number = lambda pattern: int((re.search(pattern, part) or [0, 0])[1])
        registers, shared = number(r"Used (\d+) registers"), number(r"(\d+) bytes smem")
        return {"registers": registers, "local_bytes": shared, "stack_bytes": number(r"(\d+) bytes stack frame"),
                "spill_store_bytes": number(r"(\d+) bytes spill stores"), "spill_load_bytes": number(r"(\d+) bytes spill loads"),
                "code_bytes": cubin_bytes, "occupancy": 1000 * occupancy(case.threads(config), registers, shared)}
    raise SystemExit(f"{case.space}: no kernel '{case.kernel}' in what the compiler says:\n{log}")


def measured(case, hub, spaces, most, nvrtc):
    """[parameters, seconds, facts] of so many configs."""
    header = json.loads((spaces / f"{case.space}.json").read_text())
    with gzip.open(spaces / f"{case.space}.csv.gz", "rt") as file:
        rows = [row for row in csv.DictReader(file) if row["time_ms"] and case.where(row)]
    random.Random(1).shuffle(rows)
    text = "\n".join(re.sub(r'#include ".*"', "", (hub / name).read_text()) for name in case.files)
    found = []
    for row in rows[:most]:
        config = {name: row[name] for name in header["parameters"]}
        constants = {**header["fixed_parameters"], **config}
        built = nvrtc.build("".join(f"#define {name} {value}\n" for name, value in constants.items()) + text)
        if built is not None:
            found.append([{name: float(value) for name, value in config.items()}, float(row["time_ms"]) / 1e3, facts_of(built[1], built[0], case, config)])
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("hub", "spaces", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--configs", type=int, default=300)
    parser.add_argument("--nvrtc", default="/usr/local/cuda/lib64/libnvrtc.so")
    flags = parser.parse_args()
    warnings.filterwarnings("ignore")  # length scales at their bounds: columns that say nothing
    flags.out.mkdir(parents=True, exist_ok=True)
    nvrtc, rows = Nvrtc(flags.nvrtc), []
    print("| space | configs | spilling | learnt from | parameters | facts | both |\n| --- | --- | --- | --- | --- | --- | --- |")
    for case in CASES:
        kept = flags.out / f"{case.space}.{flags.configs}.json"
        if not kept.exists():
            kept.write_text(json.dumps(measured(case, flags.hub, flags.spaces, flags.configs, nvrtc)))
        configs = json.loads(kept.read_text())
        parameters = parameter_columns([config for config, _, _ in configs])
        facts = fact_columns([facts for _, _, facts in configs])
        facts = facts[:, facts.std(axis=0) > 0]
        speeds = numpy.array([-math.log(seconds) for _, seconds, _ in configs])
        spilling = sum(facts_of_one["spill_store_bytes"] > 0 for _, _, facts_of_one in configs)
        for learnt in LEARNT:
            cells = [quality(columns, speeds, learnt) for columns in (parameters, facts, numpy.hstack([parameters, facts]))]
            rows.append((learnt, cells))
            print(f"| {case.space} | {len(configs)} | {spilling} | {learnt} | " + " | ".join(f"{c:.2f}, {f:.2f}" for c, f in cells) + " |", flush=True)
    for learnt in LEARNT:
        of_learnt = [cells for count, cells in rows if count == learnt]
        means = [(statistics.fmean(c[i][0] for c in of_learnt), statistics.fmean(c[i][1] for c in of_learnt)) for i in range(3)]
        print(f"| mean | | | {learnt} | " + " | ".join(f"{c:.2f}, {f:.2f}" for c, f in means) + " |")


if __name__ == "__main__":
    main()
