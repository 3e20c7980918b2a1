"""A corpus of many words, and tokenizers trained on it."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

from tokenizers import Tokenizer

from storage.records import DOCUMENT
from tasks.lm.tokens import Split
from tasks.tokenizer.config import TokenizerConfig
from tasks.tokenizer.train import train_tokenizer


@cache
def corpus(num_documents: int = 40) -> tuple[str, ...]:
    """Made-up words of several scripts, with numbers, code and line breaks."""
    draw = random.Random(5)
    syllables = [c + v for c in "bcdghklmnprst" for v in ("a", "e", "i", "o", "u", "ế", "ă")]
    words = ["".join(draw.choices(syllables, k=draw.randrange(1, 5))) for _ in range(600)]
    words += ["don't", "we'll", "日本語", "привет", "def", "f(x):", "\n    return", "\n\n"]
    return tuple(
        " ".join(draw.choices(words, k=120)) + f"\n{draw.randrange(10_000)}"
        for _ in range(num_documents)
    )


@cache
def trained(split: Split = "qwen2", vocab_size: int = 400) -> Tokenizer:
    return train_tokenizer(corpus(), TokenizerConfig(split=split, vocab_size=vocab_size))


def document_row(text: str, language: str = "en") -> dict[str, Any]:
    """A row of documents with this text; the rest says nothing."""
    row: dict[str, Any] = {field.name: "" for field in DOCUMENT}
    row |= {"language_score": 1.0, "num_words": 1, "repeated_share": 0.0, "pii": []}
    return row | {"quality": -1.0, "text": text, "language": language}
