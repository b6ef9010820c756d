"""A generated kernel library, called from Python: any operator, by the attributes and tensors that its operator.json states."""
import ctypes
import json
import os
import re
import subprocess

import numpy as np

TEMPLATES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "templates")


def operator(name):
    with open(os.path.join(TEMPLATES, name, "operator.json")) as file:
        return json.loads(re.sub(r'("(?:[^"\\]|\\.)*")|//[^\n]*', lambda m: m.group(1) or "", file.read()))


def aligned(array):
    """A copy that begins on a 64-byte boundary."""
    array = np.ascontiguousarray(array)
    room = np.empty(array.nbytes + 64, np.uint8)
    start = -room.ctypes.data % 64
    copy = room[start:start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


class KernelLibrary:
    def __init__(self, folder, threads):
        """Builds `folder`, as `lathe build` wrote it, into one shared object and opens it."""
        build = os.path.join(folder, "build-shared")
        subprocess.run(["cmake", "-S", folder, "-B", build, "-DCMAKE_POSITION_INDEPENDENT_CODE=ON"], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["cmake", "--build", build, "--target", "lathe_kernels", "-j", str(os.cpu_count())], check=True, stdout=subprocess.DEVNULL)
        shared = os.path.join(build, "kernels.so")
        subprocess.run(["c++", "-shared", "-o", shared, "-Wl,--whole-archive", os.path.join(build, "liblathe_kernels.a"), "-Wl,--no-whole-archive",
                        "-lpthread"], check=True)
        self.library = ctypes.CDLL(shared)
        self.library.lathe_last_error.restype = ctypes.c_char_p
        self.library.lathe_threads_create.restype = self.library.lathe_threads_parallel.restype = ctypes.c_void_p
        self.library.lathe_threads_parallel.argtypes = [ctypes.c_void_p]
        self.parallel = None
        if threads > 1:
            self.parallel = ctypes.c_void_p(self.library.lathe_threads_parallel(self.library.lathe_threads_create(threads)))
        with open(os.path.join(folder, "report.json")) as file:
            self.kernels = json.load(file)["kernels"]

    def call(self, name, attributes, tensors):
        """A function that runs the kernel of this workload on `tensors` (arrays by name, absent ones left out), whose outputs it fills. Constants
        are packed here, once."""
        spec = operator(name)

        class Workload(ctypes.Structure):
            _fields_ = [(a, ctypes.c_double if facts.get("type") == "float" else ctypes.c_int64) for a, facts in spec["attributes"].items()]

        workload = Workload()
        for attribute, facts in spec["attributes"].items():
            value = attributes.get(attribute, facts.get("default", 0))
            setattr(workload, attribute, facts["choices"].index(value) + 1 if "choices" in facts else
                    float(value) if facts.get("type") == "float" else int(value))
        handle = ctypes.c_void_p()
        constant = {t: facts["role"] == "constant" for t, facts in spec["tensors"].items()}
        pointers = {t: ctypes.c_void_p(tensors[t].ctypes.data) if t in tensors else None for t in spec["tensors"]}
        if getattr(self.library, f"lathe_{name}_create")(ctypes.byref(workload), *(p for t, p in pointers.items() if constant[t]), 1,
                                                         ctypes.byref(handle)) != 0:
            raise RuntimeError(f"create {name}: {self.library.lathe_last_error().decode()}")
        run = getattr(self.library, f"lathe_{name}_run")
        arguments = (handle, *(p for t, p in pointers.items() if not constant[t]), self.parallel)
        if run(*arguments) != 0:
            raise RuntimeError(f"run {name}: {self.library.lathe_last_error().decode()}")
        return lambda keep=(workload, tensors): run(*arguments)
