"""A reference set against the corpus: what is good is given, what is bad is drawn."""

from __future__ import annotations

from typing import Literal

from tasks.config import Config, knob
from tasks.quality.examples.files import ExampleFiles


class ReferenceExamples(Config):
    """Good examples from files, and as bad ones documents of the corpus itself, drawn by their ids.

    Source: DataComp-LM, arXiv:2406.11794 §4.4.
    """

    kind: Literal["reference"] = "reference"
    good: ExampleFiles = knob(..., "texts as you want them")
