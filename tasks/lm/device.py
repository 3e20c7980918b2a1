"""Where the numbers are crunched, and in which arithmetic."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Literal

import torch

from storage.errors import Fault, RequestError
from tasks.lm.config import ComputeConfig
from tasks.lm.distributed.world import ALONE, World
from tasks.machine import has_bf16_products, usable_cores

_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -3, -1


DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""By the words of the knob `precision`."""


@dataclass(frozen=True)
class Compute:
    """This process's device, the dtype of its large products, and how many devices share them.

    `is_open`: whether bfloat16 might be faster, which is to be measured.
    """

    device: torch.device
    dtype: torch.dtype
    num_devices: int = 1
    is_open: bool = False

    @property
    def precision(self) -> str:
        """The knob's word for `dtype`."""
        return next(name for name, dtype in DTYPES.items() if dtype == self.dtype)

    def __str__(self) -> str:
        name = self.precision
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

    Raises RequestError if a GPU is asked for, or fp16, and there is none.
    """
    kind = device_kind(config)
    if config.threads:
        torch.set_num_threads(max(1, config.threads // world.size))
    device = torch.device(kind)
    if kind == "cuda" and world.size > 1:
        device = torch.device(kind, world.rank)
    if kind == "cpu":
        _keep_freed_memory()
    if config.precision == "fp16" and kind == "cpu":
        remedy = "Set this stage's compute.precision to auto, or use a machine with a CUDA GPU."
        raise RequestError(Fault("compute.precision", "fp16 on a CPU", "a GPU", remedy, "no_gpu"))
    if config.precision != "auto":
        return Compute(device, DTYPES[config.precision], world.size)
    if kind == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return Compute(device, torch.bfloat16, world.size)
    return Compute(device, torch.float32, world.size, kind == "cpu" and has_bf16_products())


def _keep_freed_memory() -> None:
    """Let glibc reuse freed buffers up to 32 MiB instead of returning them: 20 % off a step."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return  # not glibc
    mallopt(_M_MMAP_THRESHOLD, 32 << 20)
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
