"""Adapters: what fine-tuning learnt, the pairs it learnt from, and the base with it merged in."""

from __future__ import annotations

from typing import ClassVar

from tasks.artifacts.artifact import TRAIN, ArtifactType, Form, Table


class Adapter(ArtifactType):
    """An adapter; by its merged weights it serves as a model."""

    form: ClassVar[Form] = "model"
    counted_in: ClassVar[str] = "trainable_parameters"
    root: ClassVar[str] = "merged/"
    also: ClassVar[tuple[str, ...]] = ("model",)
    is_trained: ClassVar[bool] = True


PAIRS = Table(
    "pairs",
    {TRAIN: "pairs/train.parquet", "validation": "pairs/validation.parquet"},
    "the questions and answers that the adapter was taught, and those held out",
)
STEPS = "pairs/steps.parquet"
"""Which step of the training learnt from which pair."""

ADAPTER = Adapter("adapter", "trained parameters", (PAIRS,))
