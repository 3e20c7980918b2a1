"""Which n-grams a model sees: light to import, as recipes name it."""

from __future__ import annotations

from dataclasses import dataclass

SCHEME = 1
"""How texts are split and hashed (`features.py`, `kernels.py`). A model of another is refused."""


@dataclass(frozen=True)
class Features:
    """Which n-grams are taken of a text.

    `character_ngrams` is the length of n-grams of characters within words, 0 for none.
    """

    ngrams: int
    character_ngrams: int
    bucket_bits: int
    max_words: int

    @property
    def num_buckets(self) -> int:
        """How many weights a model has."""
        return 1 << self.bucket_bits
