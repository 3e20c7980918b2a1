"""Documents as sets of word shingles, and the exact similarity of two of them.

Words are lower case, with digits and letters of every script and their tone marks: folding marks
away would merge Vietnamese words that differ in tone only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import xxhash

_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Shingled:
    """One document, seen as overlapping runs of words."""

    text: str
    num_words: int

    @cached_property
    def words(self) -> list[str]:
        return _WORD.findall(self.text.lower())

    @cached_property
    def shingles(self) -> list[bytes]:
        """Each run of `num_words` words once (all words, where there are fewer), in any order."""
        n = self.num_words
        runs = range(max(len(self.words) - n + 1, 1))
        return list({" ".join(self.words[i : i + n]).encode(): None for i in runs})

    @cached_property
    def hashes(self) -> npt.NDArray[np.uint64]:
        """Sorted 64-bit hashes of the shingles."""
        hashes = np.fromiter(map(xxhash.xxh3_64_intdigest, self.shingles), dtype=np.uint64)
        return np.unique(hashes)


def jaccard(a: npt.NDArray[np.uint64], b: npt.NDArray[np.uint64]) -> float:
    """|A ∩ B| / |A ∪ B| of two sorted sets of hashes, 0-1."""
    shared = np.intersect1d(a, b, assume_unique=True).size
    union = a.size + b.size - shared
    return shared / union if union else 1.0
