"""Knobs that all training shares. No torch here: recipes are read without it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from storage.errors import Fault
from tasks.config import Config, knob
from tasks.foresight import Known
from tasks.machine import count_gpus, usable_cores


class ComputeConfig(Config):
    """Devices, arithmetic and threads."""

    device: Literal["auto", "cpu", "cuda"] = knob(
        "auto", "auto: the GPU if there is one", identity=False
    )
    precision: Literal["auto", "fp32", "bf16"] = knob(
        "auto",
        "arithmetic of the large products; weights and sums stay fp32. auto: bf16 on GPUs "
        "and on CPUs with bf16 dot products (4-6 times faster on those), else fp32",
    )
    devices: int = knob(
        1,
        "devices of this machine that share every batch, under torchrun; 0: all GPUs. On a CPU "
        "each is a process. Sums may differ in the last bit with their number",
        ge=0,
        le=64,
        identity=False,
    )
    threads: int = knob(
        0,
        "CPU threads, shared out among the devices; 0: torch's own choice. Sums may differ in the "
        "last bit with their number",
        ge=0,
        le=1024,
        identity=False,
    )

    def foreseen(self, known: Known) -> Iterator[Fault]:
        """Devices that this machine lacks."""
        gpus = 0 if self.device == "cpu" else count_gpus()
        if self.device == "cuda" and not gpus:
            remedy = "Set this to auto or cpu, or use a machine with a CUDA GPU."
            yield Fault("device", "cuda, and no CUDA GPU here", "a CUDA GPU", remedy, "no_gpu")
            return
        there, what = (gpus, "CUDA GPUs") if gpus else (usable_cores(), "CPU cores and no GPU")
        if self.devices > there:
            expected = f"at most {there}: this machine has {there} {what}"
            remedy = f"Set this to {there} or less, or use a larger machine."
            yield Fault("devices", str(self.devices), expected, remedy, "too_many_devices")


class OptimizerConfig(Config):
    """Peak learning rates and their schedule: linear warm-up, constant, linear to zero."""

    matrix_lr: float = knob(0.012, "Muon's rate, for matrices inside the layers", gt=0, le=1)
    embedding_lr: float = knob(0.02, "AdamW's rate for the embedding", gt=0, le=1)
    head_lr: float = knob(0.012, "AdamW's rate for the output head", gt=0, le=1)
    gain_lr: float = knob(0.005, "AdamW's rate for the norms' gains", gt=0, le=1)
    momentum: float = knob(0.95, "Muon's momentum", ge=0, lt=1)
    beta1: float = knob(0.9, "AdamW's first decay", ge=0, lt=1)
    beta2: float = knob(0.95, "AdamW's second decay", ge=0, lt=1)
    weight_decay: float = knob(0.0, "decoupled, of matrices, embedding and head", ge=0, le=1)
    warmup: float = knob(0.02, "share of the steps that warm up, 0-1", ge=0, le=1)
    cooldown: float = knob(
        0.7, "share of the steps that cool down, 0-1", ge=0, le=1, source="WSD, arXiv:2404.06395"
    )


def rate_factor(step: int, num_steps: int, warmup: float, cooldown: float) -> float:
    """The factor (0-1) on a peak rate in `step` of 1..num_steps: linear up, constant, linear down.

    `warmup` and `cooldown` are shares of the steps; where they overlap, the lower line holds.
    """
    done = step / (num_steps + 1)
    up = done / warmup if warmup else 1.0
    down = (1.0 - done) / cooldown if cooldown else 1.0
    return min(1.0, up, down)
