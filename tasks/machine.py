"""What this machine has to compute with, asked without torch, which takes 2 s to import."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path


def usable_cores() -> int:
    """CPU cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def has_bf16_products() -> bool:
    """Whether the CPU says that it multiplies bfloat16 (AVX512-BF16, AMX or Arm's BF16).

    That it is faster so is not said: half as fast on a virtual Xeon with AVX512-BF16 and no AMX.
    """
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:  # not Linux
        return False
    return bool(flags & {"avx512_bf16", "amx_bf16", "bf16"})


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
