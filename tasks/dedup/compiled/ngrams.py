"""Which texts have a run of words whose hash is wanted."""

from __future__ import annotations

import numpy as np
from numba import njit, uint64

from tasks.dedup.compiled.words import hash_shingles, hash_words

BITS = 24
_SHIFT = np.uint64(64 - BITS)


@njit(nogil=True, cache=True)
def find_texts(data, offsets, ascii_, codes, lengths, wanted, filter_, found):
    """Mark in `found` the texts with a run of so many words (any of `lengths`) that is in `wanted`.

    `wanted` are sorted hashes; `filter_` has a byte for each value of their highest bits, 1 where
    there is one: it fits the cache, and nearly every run ends there.
    """
    longest = 0
    for text in range(offsets.size - 1):
        longest = max(longest, offsets[text + 1] - offsets[text])
    words, runs = np.empty(longest + 1, np.uint64), np.empty(longest + 1, np.uint64)
    for text in range(offsets.size - 1):
        count = hash_words(data, offsets[text], offsets[text + 1], ascii_, codes, words)
        found[text] = False
        for length in lengths:
            if found[text] or count < length:
                continue
            for run in range(hash_shingles(words, count, length, runs)):
                if filter_[runs[run] >> uint64(_SHIFT)]:
                    at = np.searchsorted(wanted, runs[run])
                    if at < wanted.size and wanted[at] == runs[run]:
                        found[text] = True
                        break


@njit(nogil=True, cache=True)
def hash_runs(data, offsets, ascii_, codes, size, hashes, counts):
    """Put the hash of each run of `size` words of each text into `hashes`, and how many words each
    has into `counts`; returns how many runs there are. `hashes` has room for a run a byte and one
    for each text."""
    longest = 0
    for text in range(offsets.size - 1):
        longest = max(longest, offsets[text + 1] - offsets[text])
    words = np.empty(longest + 1, np.uint64)
    num = 0
    for text in range(offsets.size - 1):
        count = hash_words(data, offsets[text], offsets[text + 1], ascii_, codes, words)
        counts[text] = count
        if count:
            num += hash_shingles(words, count, size, hashes[num:])
    return num
