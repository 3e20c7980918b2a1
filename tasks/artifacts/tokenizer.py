"""Tokenizers: one tokenizer.json, as transformers loads it."""

from __future__ import annotations

from typing import ClassVar

from tasks.artifacts.artifact import ArtifactType, Form


class Tokenizer(ArtifactType):
    """A vocabulary with its merges."""

    form: ClassVar[Form] = "tokenizer"
    is_trained: ClassVar[bool] = True
    loader: ClassVar[str] = "transformers.AutoTokenizer.from_pretrained"
    load: ClassVar[str] = """\
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(folder)
print(tokenizer.tokenize("What the river leaves behind."))"""


TOKENIZER = Tokenizer("tokenizer", "entries")
