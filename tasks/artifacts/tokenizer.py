"""Tokenizers: one tokenizer.json, as transformers loads it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from tasks.artifacts.artifact import Artifact, ArtifactType, Form
from tasks.artifacts.documents import DOCUMENTS

_CHARACTERS = 300


class Tokenizer(ArtifactType):
    """A vocabulary with its merges."""

    form: ClassVar[Form] = "tokenizer"
    is_trained: ClassVar[bool] = True
    loader: ClassVar[str] = "transformers.AutoTokenizer.from_pretrained"
    load: ClassVar[str] = """\
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(folder)
print(tokenizer.tokenize("What the river leaves behind."))"""

    # --- looking into it --------------------------------------------------------------------------

    def samples(self, artifact: Artifact, prompts: Sequence[str]) -> Iterator[str]:
        """Give the beginning of a document that it learnt from, split into tokens."""
        from tasks.lm.tokens import load_tokenizer

        tokenizer = load_tokenizer(artifact.folder())
        rows = artifact.input(DOCUMENTS).first_rows("documents/", ["text"], 1)
        text = rows[0]["text"][:_CHARACTERS] if rows else ""
        offsets = tokenizer.encode(text, add_special_tokens=False).offsets
        split = "|".join(text[start:end] for start, end in offsets)
        yield f"Bars stand between tokens:\n\n{split}"


TOKENIZER = Tokenizer("tokenizer", "entries")
