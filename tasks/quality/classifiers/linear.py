"""Logistic regression over hashed n-grams of words, trained from examples."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from tasks.config import Config, knob
from tasks.quality.examples import Examples
from tasks.quality.model import Features


class Linear(Config):
    """A linear model over the mean of a text's n-grams, as fastText's with nothing hidden."""

    kind: Literal["linear"] = "linear"
    examples: Examples = knob(..., "what it is trained from", discriminator="kind")
    max_examples: int = knob(
        50_000,
        "examples of each side at most; of more, those are taken whose ids' hashes are lowest. "
        "Training holds 12 kB of memory for one of 1 000 words",
        ge=100,
        le=2_000_000,
        source="DCLM trained from 200 000 of each, arXiv:2406.11794 §4.4",
    )
    held_out_share: float = knob(
        0.1,
        "share of the examples (0-1) that it is measured on and not trained from; pages of one "
        "host are all on one side",
        gt=0,
        le=0.5,
    )
    ngrams: int = knob(
        2,
        "words in the longest n-grams. In scripts without spaces every character is a word: 3 or "
        "4 are of use there",
        ge=1,
        le=5,
        source="DCLM, arXiv:2406.11794 appendix L",
    )
    character_ngrams: int = knob(
        0,
        "characters in n-grams within words (2 to 6), for languages that build long ones; 0: none",
        ge=0,
        le=6,
    )
    bucket_bits: int = knob(
        20,
        "n-grams are hashed into 2 to this power weights of 4 bytes; more of them collide in fewer",
        ge=10,
        le=26,
        source="fastText has 2 million of 400 bytes; 2^20 scored as well (docs/quality.md)",
    )
    max_words: int = knob(
        1_000,
        "words read of a text, from its beginning",
        ge=16,
        le=1_000_000,
        source="FineWeb-Edu's classifier reads 512 tokens, arXiv:2406.17557 §4",
    )
    epochs: int = knob(5, "passes over the examples", ge=1, le=100, source="fastText's default")
    learning_rate: float = knob(
        4.0,
        "Adagrad's: how far the first step moves a weight, in logits",
        gt=0,
        le=100,
        source="of 0.05 to 16 the best calibrated, and as good as any (docs/quality.md)",
    )
    l2: float = knob(0.0, "L2 penalty on the weights of a text's own n-grams", ge=0, le=1)
    seed: int = knob(0, "which examples are drawn, and their order", ge=0, lt=1 << 32)

    @model_validator(mode="after")
    def _says_more_than_characters(self) -> Self:
        if self.character_ngrams == 1:
            raise ValueError(
                "character_ngrams 1 would count letters alone; expected 0 (none) or 2 to 6"
            )
        return self

    @property
    def features(self) -> Features:
        """Which n-grams it sees."""
        return Features(self.ngrams, self.character_ngrams, self.bucket_bits, self.max_words)
