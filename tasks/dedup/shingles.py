"""Documents as sets of word shingles, and the exact similarity of two of them.

Words are lower case, with digits and letters of every script and their marks: folding marks away
would merge Vietnamese words that differ in tone only, and Thai ones that differ in a vowel.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import xxhash

# `\w` of Python's re leaves out combining marks. Those past U+FFFF would make it 15 times slower.
_MARKS = "".join(c for c in map(chr, range(0x300, 0x10000)) if unicodedata.category(c)[0] == "M")
_WORD = re.compile(rf"\w[\w{_MARKS}]*")


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


def similarities(
    own: npt.NDArray[np.uint64], others: Sequence[npt.NDArray[np.uint64]]
) -> npt.NDArray[np.float64]:
    """|A ∩ B| / |A ∪ B|, 0-1, of one sorted set of hashes A and each of the others B.

    No set is empty: even a document without words has one shingle. All are measured in one pass:
    boilerplate puts thousands of unlike documents into one bucket.
    """
    sizes = np.array([other.size for other in others])
    together = np.concatenate(others)
    places = np.searchsorted(own, together)
    found = own[np.minimum(places, own.size - 1)] == together
    shared = np.add.reduceat(found, np.cumsum(sizes) - sizes, dtype=np.int64)
    return np.asarray(shared / (own.size + sizes - shared))
