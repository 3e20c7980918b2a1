"""What this machine has to compute with, asked without torch, which takes 2 s to import."""

from __future__ import annotations

import ctypes
import os
from functools import cache


def usable_cores() -> int:
    """CPU cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def count_gpus() -> int:
    """CUDA GPUs that torch could use: those that the driver shows, if torch was built for CUDA."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    from importlib.metadata import version  # 20 ms, and only wanted where there is a driver

    without_cuda = version("torch").endswith("+cpu")
    found = ctypes.c_int()
    if without_cuda or driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(found)):
        return 0
    return found.value
