"""How weights are updated, as typed configs. A new one: a class here, and its name in the union.

No torch here: recipes are read without it. What `build` is given is sorted by what a parameter is
part of: a matrix inside the layers, the embedding, the output head, or a norm's gain.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from tasks.config import Config, knob
from tasks.lm.config import CLIP_SAYS, FLOOR_SAYS, SHAPE_SAYS, CooldownShape

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.optim import Optimizer as Built

    Kinds = Mapping[str, Sequence[Tensor]]

KINDS = ("matrix", "embedding", "head", "gain")


class OptimizerConfig(Config):
    """What all have: decay, clipping, and the schedule that the peak rates follow."""

    weight_decay: float = knob(0.0, "decoupled, of matrices, embedding and head", ge=0, le=1)
    warmup: float = knob(0.02, "share of the steps that warm up, 0-1", ge=0, le=1)
    cooldown: float = knob(
        0.7, "share of the steps that cool down, 0-1", ge=0, le=1, source="WSD, arXiv:2404.06395"
    )
    cooldown_shape: CooldownShape = knob("linear", SHAPE_SAYS, neutral="linear")
    floor: float = knob(0.0, FLOOR_SAYS, ge=0, le=1, neutral=0.0)
    clip: float | None = knob(None, CLIP_SAYS, gt=0, neutral=None)

    @abstractmethod
    def rates(self) -> dict[str, float]:
        """Give the peak rate of each kind of parameter."""

    @abstractmethod
    def build(self, kinds: Kinds, dtype: torch.dtype) -> list[Built]:
        """Make what updates the parameters of these kinds; `dtype` is that of large products."""

    def _groups(self, kinds: Kinds, *which: str) -> list[dict[str, Any]]:
        """Gains do not decay: that would shrink what they scale, and nothing else."""
        rates, decay = self.rates(), (0.0, self.weight_decay)
        return [
            {"params": kinds[kind], "lr": rates[kind], "weight_decay": decay[kind != "gain"]}
            for kind in which or KINDS
            if kinds[kind]
        ]


class Muon(OptimizerConfig):
    """Muon for the matrices inside the layers, AdamW for the rest: fewest steps to a loss."""

    kind: Literal["muon"] = knob("muon", "the optimiser", neutral="muon")
    matrix_lr: float = knob(0.012, "Muon's rate, for matrices inside the layers", gt=0, le=1)
    embedding_lr: float = knob(0.02, "AdamW's rate for the embedding", gt=0, le=1)
    head_lr: float = knob(0.012, "AdamW's rate for the output head", gt=0, le=1)
    gain_lr: float = knob(0.005, "AdamW's rate for the norms' gains", gt=0, le=1)
    momentum: float = knob(0.95, "Muon's momentum", ge=0, lt=1)
    iterations: int = knob(
        5,
        "of Newton-Schulz, which makes an update orthogonal. 5 with Muon's own coefficients; 4 and "
        "3 with the best for so many, in 0.6 and 0.5 of the time",
        ge=3,
        le=5,
        neutral=5,
        source="Polar Express, arXiv:2505.16932",
    )
    beta1: float = knob(0.9, "AdamW's first decay", ge=0, lt=1)
    beta2: float = knob(0.95, "AdamW's second decay", ge=0, lt=1)

    def rates(self) -> dict[str, float]:
        rates = self.matrix_lr, self.embedding_lr, self.head_lr, self.gain_lr
        return dict(zip(KINDS, rates, strict=True))

    def build(self, kinds: Kinds, dtype: torch.dtype) -> list[Built]:
        from tasks.lm.optimizer import build_muon

        others = self._groups(kinds, "embedding", "head", "gain")
        matrices = self._groups(kinds, "matrix")
        muon = build_muon(matrices, self.momentum, self.iterations, dtype)
        return [_adamw(others, self.beta1, self.beta2), muon]


class _OneRate(OptimizerConfig):
    learning_rate: float = knob(0.003, "peak rate", gt=0, le=1)

    def rates(self) -> dict[str, float]:
        return dict.fromkeys(KINDS, self.learning_rate)


class AdamW(_OneRate):
    """AdamW for everything. Source: arXiv:1711.05101."""

    kind: Literal["adamw"] = "adamw"
    beta1: float = knob(0.9, "first decay", ge=0, lt=1)
    beta2: float = knob(0.95, "second decay", ge=0, lt=1)

    def build(self, kinds: Kinds, dtype: torch.dtype) -> list[Built]:
        return [_adamw(self._groups(kinds), self.beta1, self.beta2)]


class Lion(_OneRate):
    """Lion: the sign of a momentum, and half of AdamW's memory. Source: arXiv:2302.06675."""

    kind: Literal["lion"] = "lion"
    learning_rate: float = knob(0.0005, "peak rate", gt=0, le=1)
    beta1: float = knob(0.9, "share of the momentum in an update", ge=0, lt=1)
    beta2: float = knob(0.99, "decay of the momentum", ge=0, lt=1)

    def build(self, kinds: Kinds, dtype: torch.dtype) -> list[Built]:
        from tasks.lm import optimizer

        return [optimizer.Lion(self._groups(kinds), (self.beta1, self.beta2))]


class Adafactor(_OneRate):
    """Adafactor: second moments by row and column, hardly any memory. Source: arXiv:1804.04235.

    Rates are shares of a parameter's own size, at least 0.001, and of 1 / sqrt(step).
    """

    kind: Literal["adafactor"] = "adafactor"
    learning_rate: float = knob(0.03, "peak rate", gt=0, le=1)

    def build(self, kinds: Kinds, dtype: torch.dtype) -> list[Built]:
        from torch.optim import Adafactor as TorchAdafactor

        return [TorchAdafactor(self._groups(kinds))]


def _adamw(groups: list[dict[str, Any]], beta1: float, beta2: float) -> Built:
    import torch

    return torch.optim.AdamW(groups, betas=(beta1, beta2), eps=1e-10, fused=True)


def _muon_unless_said(value: Any) -> Any:
    return {"kind": "muon", **value} if isinstance(value, Mapping) else value


Optimizer = Annotated[
    Annotated[Muon | AdamW | Lion | Adafactor, Field(discriminator="kind")],
    BeforeValidator(_muon_unless_said),
]
