"""Pieces of a text that stand there already: lines, paragraphs, n-grams of words.

Pieces are equal if their code points are: hashes only say where to look. An n-gram can only be
repeated where its first n - 1 words are, so each length looks only at the places that the last one
left: of real documents, 37 % of the words for 2, 5 % for 10. Places are told apart by the number of
their shorter n-gram and that of the next word, so nothing is taken for equal that is not.

On numba and on its cache: `tasks.clean.kernels.scan`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from tasks.clean.kernels.scan import Codes, Counts, Places

Keys = npt.NDArray[np.uint64]

_A, _B = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)  # odd; bits well mixed
_HALF = np.uint64(32)


@njit(cache=True, nogil=True)
def paragraphs(codes: Codes) -> Places:
    """What stands between two line feeds; where three follow each other anywhere,
    pieces are stripped of line feeds, and those that then are empty are none."""
    size = codes.size
    gap, num_breaks = False, 0
    for i in range(size - 1):
        if codes[i] == 10 and codes[i + 1] == 10:
            num_breaks += 1
            gap = gap or (i + 2 < size and codes[i + 2] == 10)
    pieces = np.empty((num_breaks + 1, 2), np.int32)
    num = start = i = 0
    while i <= size:
        if i < size and not (i + 1 < size and codes[i] == 10 and codes[i + 1] == 10):
            i += 1
            continue
        begin, end = start, i
        while gap and begin < end and codes[begin] == 10:
            begin += 1
        while gap and begin < end and codes[end - 1] == 10:
            end -= 1
        if begin < end or not gap:
            pieces[num, 0], pieces[num, 1] = begin, end
            num += 1
        i += 2
        start = i
    return pieces[:num]


@njit(cache=True, nogil=True)
def repeats(codes: Codes, pieces: Places) -> tuple[int, int, int]:
    """Characters of all pieces; how many stand there already; the characters of those."""
    firsts = _firsts(codes, pieces)
    characters = repeated = repeated_characters = 0
    for i in range(len(pieces)):
        characters += pieces[i, 1] - pieces[i, 0]
        if firsts[i] != i:
            repeated += 1
            repeated_characters += pieces[i, 1] - pieces[i, 0]
    return characters, repeated, repeated_characters


@njit(cache=True, nogil=True)
def grams(codes: Codes, pieces: Places) -> Counts:
    """Characters (9,): of the most frequent 2-, 3- and 4-gram of words with a space between them,
    each time it stands there; of the 5- to 10-grams that stand there already, none begun inside
    another, without spaces. 0 where no n-gram is repeated."""
    shares, num_words = np.zeros(9, np.int64), len(pieces)
    groups = _firsts(codes, pieces).astype(np.int64)
    ids = groups.copy()
    counts = np.zeros(num_words, np.int64)
    for i in range(num_words):
        counts[ids[i]] += 1
    places = np.flatnonzero(counts[ids] > 1)
    groups = ids[places]
    for n in range(2, 11):
        places, groups, counts = _longer(places, groups, ids, n)
        if places.size == 0:
            break
        if n <= 4:
            best = 0
            for i in range(places.size):  # of equally frequent ones the first
                if counts[groups[i]] > counts[groups[best]]:
                    best = i
            characters = n - 1
            for word in range(places[best], places[best] + n):
                characters += pieces[word, 1] - pieces[word, 0]
            shares[n - 2] = characters * counts[groups[best]]
        else:
            shares[n - 2] = _repeated(places, groups, pieces, n)
    return shares


@njit(cache=True, nogil=True)
def _repeated(places: Counts, groups: Counts, pieces: Places, n: int) -> int:
    """Characters of n-grams that stood there before; none begins inside another such."""
    seen = np.zeros(groups.max() + 1, np.uint8)
    free = characters = 0
    for i in range(places.size):
        if places[i] < free:
            continue
        if seen[groups[i]]:
            for word in range(places[i], places[i] + n):
                characters += pieces[word, 1] - pieces[word, 0]
            free = places[i] + n
        else:
            seen[groups[i]] = 1
    return characters


@njit(cache=True, nogil=True)
def _longer(places: Counts, groups: Counts, ids: Counts, n: int) -> tuple[Counts, Counts, Counts]:
    """Where the repeated n-grams stand, the number of each, and how often that number stands there,
    from the same of n - 1."""
    num_words, num = ids.size, places.size
    while num and places[num - 1] + n > num_words:
        num -= 1
    size = 16
    while size < 2 * num:
        size *= 2
    slots = np.zeros(size, np.int32)
    keys, counts = np.empty(num, np.uint64), np.zeros(num, np.int64)
    numbers = np.empty(num, np.int64)
    distinct, mask = 0, np.uint64(size - 1)
    for i in range(num):
        key = np.uint64(groups[i] * num_words + ids[places[i] + n - 1])  # < 2^63, 3e9 words
        slot = _mixed(key) & mask
        while slots[slot] and keys[slots[slot] - 1] != key:
            slot = (slot + np.uint64(1)) & mask
        if not slots[slot]:
            keys[distinct] = key
            distinct += 1
            slots[slot] = distinct
        numbers[i] = slots[slot] - 1
        counts[numbers[i]] += 1
    kept = counts[numbers] > 1
    return places[:num][kept], numbers[kept], counts


@njit(cache=True, nogil=True)
def _firsts(codes: Codes, pieces: Places) -> Places:
    """Of each piece, the number of the first that equals it."""
    firsts = np.empty(len(pieces), np.int32)
    # By their ends most pieces are told apart; where not, reading all of each is sooner done than
    # comparing each with many.
    if not _find_firsts(codes, pieces, firsts, True):
        _find_firsts(codes, pieces, firsts, False)
    return firsts


@njit(cache=True, nogil=True)
def _find_firsts(codes: Codes, pieces: Places, firsts: Places, by_ends: bool) -> bool:
    """Whether that took no more comparisons in vain than there are characters, or was not asked."""
    num, size, patience = len(pieces), 16, codes.size
    while size < 2 * num:
        size *= 2
    slots, hashes = np.zeros(size, np.int32), np.empty(num, np.uint64)
    mask = np.uint64(size - 1)
    for i in range(num):
        start, end = pieces[i, 0], pieces[i, 1]
        hashed = _hash_ends(codes, start, end) if by_ends else _hash(codes, start, end)
        hashes[i] = hashed
        slot = hashed & mask
        while slots[slot]:
            other = slots[slot] - 1
            if hashes[other] == hashed:
                if _equal(codes, pieces, i, other):
                    break
                patience -= end - start
                if by_ends and patience < 0:
                    return False
            slot = (slot + np.uint64(1)) & mask
        if not slots[slot]:
            slots[slot] = i + 1
        firsts[i] = slots[slot] - 1
    return True


@njit(cache=True, nogil=True)
def _equal(codes: Codes, pieces: Places, one: int, other: int) -> bool:
    size = pieces[one, 1] - pieces[one, 0]
    if pieces[other, 1] - pieces[other, 0] != size:
        return False
    j = 0
    while j < size and codes[pieces[one, 0] + j] == codes[pieces[other, 0] + j]:
        j += 1
    return bool(j == size)


@njit(cache=True, nogil=True)
def _hash(codes: Codes, start: int, end: int) -> np.uint64:
    """Of code points, two at a time in two lanes: half the time of one after the other."""
    a, b, i = np.uint64(end - start), _B, start
    while i + 4 <= end:
        a = (a ^ (np.uint64(codes[i]) | np.uint64(codes[i + 1]) << _HALF)) * _A
        b = (b ^ (np.uint64(codes[i + 2]) | np.uint64(codes[i + 3]) << _HALF)) * _B
        a ^= a >> _HALF
        b ^= b >> _HALF
        i += 4
    while i < end:
        a = (a ^ np.uint64(codes[i])) * _A
        a ^= a >> _HALF
        i += 1
    return _mixed(a ^ b)


@njit(cache=True, nogil=True)
def _hash_ends(codes: Codes, start: int, end: int) -> np.uint64:
    """Of four code points at each end, all of a word of eight, and of the length."""
    size = end - start
    if size >= 4:
        a = np.uint64(codes[start]) | np.uint64(codes[start + 1]) << _HALF
        b = np.uint64(codes[start + 2]) | np.uint64(codes[start + 3]) << _HALF
        c = np.uint64(codes[end - 4]) | np.uint64(codes[end - 3]) << _HALF
        d = np.uint64(codes[end - 2]) | np.uint64(codes[end - 1]) << _HALF
        a, b = (a ^ (c * _B)) * _A, (b ^ (d * _A)) * _B
    elif size > 0:
        a = np.uint64(codes[start]) | np.uint64(codes[end - 1]) << _HALF
        b = np.uint64(codes[start + size // 2])
        a, b = a * _A, b * _B
    else:
        a, b = _A, _B
    return _mixed(a ^ (b >> _HALF) ^ (b << _HALF) ^ np.uint64(size))


@njit(cache=True, nogil=True)
def _mixed(key: np.uint64) -> np.uint64:
    key *= _A
    key ^= key >> _HALF
    key *= _B
    return key ^ (key >> _HALF)
