"""Made-up documents for the growth of dedup: any number, by shards, each from its number alone.

Lengths are log-normal (median 350 words, mean 480: what FineWeb's documents have), words follow
Zipf's law over half a million. Three documents in ten are copies: one exact, two with words
changed. What is copied is drawn by the square of a uniform number, so that the largest clusters
grow with the corpus as they do on the web.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash
from numba import njit, uint64

from benchmarks.dedup_documents import document_table
from storage.parquet import write_table
from storage.workspace import Workspace

NUM_WORDS = 500_000
_SEED = 1
_MEDIAN, _SIGMA, _SHORTEST, _LONGEST = 350.0, 0.8, 20, 20_000
_COPIES, _EXACT = 0.3, 0.1
# Shares of words changed: similarities of about 0.98, 0.95, 0.90, 0.82 and 0.69.
_CHANGED = np.array([0.002, 0.005, 0.01, 0.02, 0.04])
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@njit(nogil=True, cache=True)
def _mixed(state):
    """splitmix64: the number that belongs to a state."""
    state = (state ^ (state >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> uint64(27))) * uint64(0x94D049BB133111EB)
    return state ^ (state >> uint64(31))


@njit(nogil=True, cache=True)
def _uniform(seed, number, draw):
    """A number in [0, 1) for the so-manieth draw of a document."""
    state = _mixed(uint64(seed) * _GOLDEN + uint64(number)) + uint64(draw) * _GOLDEN
    return (_mixed(state) >> uint64(11)) * 2.0**-53


@njit(nogil=True, cache=True)
def _original(seed, number, total):
    """The document that this one is a copy of, or its own number."""
    if _uniform(seed, number, 1) >= _COPIES:
        return number
    draw = 2
    while True:
        other = int(total * _uniform(seed, number, draw) ** 2)
        if _uniform(seed, other, 1) >= _COPIES:
            return other
        draw += 1


@njit(nogil=True, cache=True)
def _length(seed, number):
    normal = np.sqrt(-2 * np.log(1 - _uniform(seed, number, 3)))
    normal *= np.cos(2 * np.pi * _uniform(seed, number, 4))
    return min(max(int(_MEDIAN * np.exp(_SIGMA * normal)), _SHORTEST), _LONGEST)


@njit(nogil=True, cache=True)
def _write_texts(seed, first, last, total, letters, bounds, ends, lengths, data):
    """Write the texts of documents `first` to `last`, as far as `data` has room; returns the bytes.

    Word w is `letters[bounds[w]:bounds[w + 1]]`. A copy has its original's words but those that
    were changed.
    """
    to = 0
    scale = np.log(bounds.size - 1.0)
    for number in range(first, last):
        source = _original(seed, number, total)
        changed = 0.0
        if source != number and _uniform(seed, number, 1) >= _EXACT:
            changed = _CHANGED[int(_CHANGED.size * _uniform(seed, number, 5))]
        length = _length(seed, source)
        of_source = _mixed(uint64(seed) * _GOLDEN + uint64(source)) + uint64(1 << 40)
        of_copy = _mixed(uint64(seed) * _GOLDEN + uint64(number)) + uint64(1 << 41)
        for at in range(length):
            state = of_source + uint64(at) * _GOLDEN
            if changed > 0.0:
                chance = _mixed(of_copy + uint64(at) * _GOLDEN)
                if (chance >> uint64(11)) * 2.0**-53 < changed:
                    state = ~chance
            word = int(np.exp(scale * (_mixed(state) >> uint64(11)) * 2.0**-53)) - 1  # Zipf's law
            size = bounds[word + 1] - bounds[word]
            if to + size + 1 <= data.size:
                for letter in range(size):
                    data[to + letter] = letters[bounds[word] + letter]
                data[to + size] = 10 if at % 16 == 15 else 32
            to += size + 1
        ends[number - first] = to
        lengths[number - first] = length
    return to


def vocabulary() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """The letters of all words, and where each begins; frequent words are short ones."""
    words = [_word(number) for number in range(NUM_WORDS)]
    bounds = np.cumsum([0, *map(len, words)], dtype=np.int64)
    return np.frombuffer("".join(words).encode(), np.uint8), bounds


def _word(number: int) -> str:
    """Syllables of a consonant and a vowel, as many as the number needs."""
    word = ""
    number += 1
    while number:
        number, syllable = divmod(number, 100)
        word += "bcdfghjklmnprstvwxyz"[syllable // 5] + "aeiou"[syllable % 5]
    return word


def write_shard(
    workspace: Workspace, path: str, numbers: range, total: int, words: tuple[Any, Any]
) -> int:
    """Write the documents of these numbers of a corpus of `total`; returns the bytes of text."""
    size = len(numbers)
    ends, lengths = np.zeros(size + 1, np.int64), np.empty(size, np.int32)
    data = np.empty(size * 4096, np.uint8)
    while True:
        of_shard = (_SEED, numbers.start, numbers.stop, total)
        num_bytes = int(_write_texts(*of_shard, *words, ends[1:], lengths, data))
        if num_bytes <= data.size:
            break
        data = np.empty(num_bytes, np.uint8)
    text = pa.LargeStringArray.from_buffers(size, pa.py_buffer(ends), pa.py_buffer(data))
    urls = [f"https://site-{n % 9973}.example.org/section-{n % 7}/{n}" for n in numbers]
    ids = (xxhash.xxh3_128_hexdigest(url.encode()) for url in urls)
    columns = {"document_id": list(ids), "url": urls, "text": text, "num_words": lengths}
    write_table(workspace, path, document_table(columns, size))
    return num_bytes
