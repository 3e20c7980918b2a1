"""Where the numbers are crunched: a GPU if there is one, and bfloat16 where it is fast."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import torch

from storage.errors import Fault, RequestError
from tasks.lm.config import ComputeConfig

_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -3, -1


@dataclass(frozen=True)
class Compute:
    """A device and the dtype of its large products."""

    device: torch.device
    dtype: torch.dtype

    def __str__(self) -> str:
        name = "bf16" if self.dtype == torch.bfloat16 else "fp32"
        return f"{self.device.type}, {name}, {torch.get_num_threads()} threads"


def set_up(config: ComputeConfig) -> Compute:
    """Choose the device and the dtype, and prepare this process for a CPU run.

    Raises RequestError if a GPU is asked for and there is none.
    """
    has_gpu = torch.cuda.is_available()
    if config.device == "cuda" and not has_gpu:
        remedy = "Set this stage's compute.device to auto, or use a machine with a CUDA GPU."
        raise RequestError(Fault("compute.device", "no CUDA GPU", "one", remedy))
    if config.threads:
        torch.set_num_threads(config.threads)
    device = torch.device("cuda" if has_gpu and config.device != "cpu" else "cpu")
    if device.type == "cpu":
        _keep_freed_memory()
    fast_bf16 = device.type == "cuda" or has_cpu_bf16()
    bf16 = config.precision == "bf16" or (config.precision == "auto" and fast_bf16)
    return Compute(device, torch.bfloat16 if bf16 else torch.float32)


def has_cpu_bf16() -> bool:
    """Whether the CPU multiplies bfloat16 natively (AVX512-BF16 or AMX)."""
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, probe, lambda: False)()) for probe in probes)


def _keep_freed_memory() -> None:
    """Let glibc reuse freed buffers up to 32 MiB instead of returning them: 20 % off a step."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return  # not glibc
    mallopt(_M_MMAP_THRESHOLD, 32 << 20)
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
