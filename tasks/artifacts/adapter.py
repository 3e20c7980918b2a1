"""Adapters: what fine-tuning learnt, the pairs it learnt from, and the base with it merged in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from tasks.artifacts.artifact import TRAIN, Artifact, ArtifactType, Form, Table
from tasks.artifacts.model import ANSWER_TOKENS, in_time


class Adapter(ArtifactType):
    """An adapter; by its merged weights it serves as a model."""

    form: ClassVar[Form] = "model"
    counted_in: ClassVar[str] = "trainable_parameters"
    root: ClassVar[str] = "merged/"
    also: ClassVar[tuple[str, ...]] = ("model",)
    is_trained: ClassVar[bool] = True

    # --- looking into it --------------------------------------------------------------------------

    def samples(self, artifact: Artifact, prompts: Sequence[str]) -> Iterator[str]:
        """Give each prompt with the answer that is most likely."""
        if not prompts:
            return
        from tasks.lm.generate import Sampler, Sampling  # torch: 2 s, and only wanted here

        model, sampling = Sampler(artifact.folder(self.root) / self.root), Sampling(ANSWER_TOKENS)
        yield from in_time(prompts, lambda p: f"{p}\n\n{model.answer(p, sampling).strip()}")


PAIRS = Table(
    "pairs",
    {TRAIN: "pairs/train.parquet", "validation": "pairs/validation.parquet"},
    "the questions and answers that the adapter was taught, and those held out",
)
STEPS = "pairs/steps.parquet"
"""Which step of the training learnt from which pair."""

ADAPTER = Adapter("adapter", "trained parameters", (PAIRS,))
