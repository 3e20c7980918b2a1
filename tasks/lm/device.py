"""Where the numbers are crunched: a GPU if there is one, and bfloat16 where it is fast."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Literal

import torch

from storage.errors import Fault, RequestError
from tasks.lm.config import ComputeConfig
from tasks.lm.distributed.world import ALONE, World
from tasks.machine import usable_cores

_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -3, -1


@dataclass(frozen=True)
class Compute:
    """This process's device, the dtype of its large products, and how many devices share them."""

    device: torch.device
    dtype: torch.dtype
    num_devices: int = 1

    def __str__(self) -> str:
        name = "bf16" if self.dtype == torch.bfloat16 else "fp32"
        count = f"{self.num_devices} x " if self.num_devices > 1 else ""
        return f"{count}{self.device.type}, {name}, {torch.get_num_threads()} threads"


def device_kind(config: ComputeConfig) -> Literal["cpu", "cuda"]:
    """What a configuration means on this machine.

    Raises RequestError if a GPU is asked for and there is none.
    """
    has_gpu = torch.cuda.is_available()
    if config.device == "cuda" and not has_gpu:
        remedy = "Set this stage's compute.device to auto, or use a machine with a CUDA GPU."
        raise RequestError(Fault("compute.device", "no CUDA GPU", "one", remedy, "no_gpu"))
    return "cuda" if has_gpu and config.device != "cpu" else "cpu"


def count_devices(config: ComputeConfig) -> int:
    """How many devices a configuration means on this machine.

    Raises RequestError if it asks for more than there are.
    """
    kind = device_kind(config)
    found = torch.cuda.device_count() if kind == "cuda" else usable_cores()
    if config.devices == 0:
        return found if kind == "cuda" else 1
    if config.devices > found:
        what = "CUDA GPUs" if kind == "cuda" else "CPU cores and no GPU in use"
        remedy = f"Set this stage's compute.devices to {found} or less, or use a larger machine."
        raise RequestError(
            Fault(
                "compute.devices",
                str(config.devices),
                f"at most {found}: this machine has {found} {what}",
                remedy,
                "too_many_devices",
            )
        )
    return config.devices


def set_up(config: ComputeConfig, world: World = ALONE) -> Compute:
    """Choose this process's device and the dtype, and prepare the process for a CPU run.

    Raises RequestError if a GPU is asked for and there is none.
    """
    kind = device_kind(config)
    if config.threads:
        torch.set_num_threads(max(1, config.threads // world.size))
    device = torch.device(kind)
    if kind == "cuda" and world.size > 1:
        device = torch.device(kind, world.rank)
    if kind == "cpu":
        _keep_freed_memory()
    fast_bf16 = device.type == "cuda" or has_cpu_bf16()
    bf16 = config.precision == "bf16" or (config.precision == "auto" and fast_bf16)
    return Compute(device, torch.bfloat16 if bf16 else torch.float32, world.size)


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
