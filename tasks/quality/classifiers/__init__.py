"""What gives a document its score. A new one: a module here with a typed config, one line below."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tasks.quality.classifiers.linear import Linear
from tasks.quality.classifiers.trained import Trained

Classifier = Annotated[Linear | Trained, Field(discriminator="kind")]

__all__ = ["Classifier", "Linear", "Trained"]
