"""Models: weights, configuration and tokenizer, as transformers loads them."""

from __future__ import annotations

from typing import ClassVar

from tasks.artifacts.artifact import ArtifactType, Form


class Model(ArtifactType):
    """A language model, with the curve of its training."""

    form: ClassVar[Form] = "model"
    counted_in: ClassVar[str] = "parameters"
    is_trained: ClassVar[bool] = True


MODEL = Model("model", "parameters")
