"""Knobs that all training shares. No torch here: recipes are read without it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, Protocol

from pydantic import model_validator

from storage.errors import Fault
from tasks.config import Config, Misfit, knob
from tasks.foresight import Known
from tasks.machine import count_gpus, usable_cores

Precision = Literal["auto", "fp32", "bf16", "fp16"]


class ComputeConfig(Config):
    """Devices, arithmetic and threads."""

    device: Literal["auto", "cpu", "cuda"] = knob(
        "auto", "auto: the GPU if there is one", identity=False
    )
    precision: Precision = knob(
        "auto",
        "arithmetic of the large products; weights and sums stay fp32. auto: bf16 where the device "
        "has such products and a part of a step, measured before the first, is faster with them; "
        "else fp32. A run that goes on keeps what it began with. fp16 wants a GPU; its losses are "
        "scaled",
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

    accumulate: int = knob(
        1,
        "parts in which each device takes its share of a batch, one after the other: less memory, "
        "the same step. Sums may differ in the last bit with their number",
        ge=1,
        le=65536,
        identity=False,
    )
    activation_checkpointing: Literal["none", "selective", "full"] = knob(
        "none",
        "what is computed again for the gradients, instead of kept: nothing, the feed-forward "
        "parts (selective), whole layers (full). Less memory, the same gradients",
        identity=False,
    )

    def foreseen(self, known: Known) -> Iterator[Fault]:
        """Devices that this machine lacks."""
        gpus = 0 if self.device == "cpu" else count_gpus()
        if self.device == "cuda" and not gpus:
            remedy = "Set this to auto or cpu, or use a machine with a CUDA GPU."
            yield Fault("device", "cuda, and no CUDA GPU here", "a CUDA GPU", remedy, "no_gpu")
            return
        if self.precision == "fp16" and not gpus:
            remedy = "Set this to auto, bf16 or fp32, or use a machine with a CUDA GPU."
            yield Fault("precision", "fp16, and no CUDA GPU here", "one", remedy, "no_gpu")
        there, what = (gpus, "CUDA GPUs") if gpus else (usable_cores(), "CPU cores and no GPU")
        if self.devices > there:
            expected = f"at most {there}: this machine has {there} {what}"
            remedy = f"Set this to {there} or less, or use a larger machine."
            yield Fault("devices", str(self.devices), expected, remedy, "too_many_devices")


class Validation(Config):
    """Scores of what is held out, while training goes on."""

    steps: int = knob(0, "steps between two validations; 0: only a score at the end", ge=0)
    rows: int = knob(64, "held-out rows that are read, about, evenly spread", ge=1)
    keep: Literal["last", "best"] = knob("last", "the weights that come out")

    @model_validator(mode="after")
    def _best_of_some(self) -> Validation:
        if self.keep == "best" and not self.steps:
            remedy = "Set steps, or keep: last."
            raise Misfit(
                "keep: best without steps",
                "validations to choose by",
                remedy,
                code="no_validations",
                at="steps",
            )
        return self


VALIDATION_OFF = {"steps": 0, "rows": 64, "keep": "last"}
VALIDATION_SAYS = "scores of what is held out, while training goes on"

CooldownShape = Literal["linear", "cosine", "root"]
SHAPE_SAYS = (
    "how rates cool down: in a line, half a cosine, or with 1 - sqrt(share done). With cooldown: 1 "
    "linear and cosine are the schedules of that name, with cooldown: 0 the rate stays constant"
)
FLOOR_SAYS = "share of the peak rates to which they cool down, 0-1"
CLIP_SAYS = (
    "largest global norm of a step's gradient, to which a larger one is scaled; null: not clipped"
)


class Rates(Protocol):
    """The knobs of a schedule, and of what a step may weigh."""

    @property
    def warmup(self) -> float: ...
    @property
    def cooldown(self) -> float: ...
    @property
    def cooldown_shape(self) -> CooldownShape: ...
    @property
    def floor(self) -> float: ...
    @property
    def clip(self) -> float | None: ...


def rate_factor(step: int, num_steps: int, rates: Rates) -> float:
    """The factor (0-1) on a peak rate in `step` of 1..num_steps: linear up, constant, down.

    `warmup` and `cooldown` are shares of the steps; where they overlap, the lower line holds.
    """
    done = step / (num_steps + 1)
    up = done / rates.warmup if rates.warmup else 1.0
    down = min(1.0, (1.0 - done) / rates.cooldown) if rates.cooldown else 1.0
    if rates.cooldown_shape == "cosine":
        down = (1.0 - math.cos(math.pi * down)) / 2
    elif rates.cooldown_shape == "root":  # arXiv:2405.18392
        down = 1.0 - math.sqrt(1.0 - down)
    return min(1.0, up, rates.floor + (1.0 - rates.floor) * down)
