"""Texts to hashes of their words and shingles, straight from the bytes of an Arrow column.

A word is hashed while it is read, code point by code point, and a shingle from its words' hashes:
no lower-case text is ever written. That runs at 280 MB of text a second and core; hashing the bytes
of each shingle with XXH64, as datasketch is fed elsewhere, ran at 118.

All that hashes words is in this file: numba's cache on disk looks at the time of the file that a
kernel is in, and not at those that it calls.
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint32, uint64

# Those of `shingles`, spelt out: the cache of compiled code looks at this file's time alone.
_SEED, _MULTIPLIER = np.uint64(0x9E3779B97F4A7C15), np.uint64(0x9E3779B185EBCA87)
BITS = 24
"""How many of the highest bits of a hash `find_texts` filters by."""

_SECOND_MULTIPLIER = np.uint64(0xD6E8FEB86659FD93)
_LETTER, _MARK, _ALONE, _IGNORED = 1, 2, 3, 4  # as in shingles.py
_SPACE = np.uint64(32)


@njit(inline="always")
def _folded(state, value):
    return (state ^ value) * _MULTIPLIER


@njit(inline="always")
def _decode(data, at, byte):
    """The code point that begins with a byte over 127 at `at`, and where the next begins."""
    if byte < 0xE0:
        code = (uint32(byte) & uint32(0x1F)) << uint32(6) | uint32(data[at + 1]) & uint32(0x3F)
        return code, at + 2
    if byte < 0xF0:
        code = (uint32(byte) & uint32(0x0F)) << uint32(12)
        code |= (uint32(data[at + 1]) & uint32(0x3F)) << uint32(6)
        return code | uint32(data[at + 2]) & uint32(0x3F), at + 3
    code = (uint32(byte) & uint32(0x07)) << uint32(18)
    code |= (uint32(data[at + 1]) & uint32(0x3F)) << uint32(12)
    code |= (uint32(data[at + 2]) & uint32(0x3F)) << uint32(6)
    return code | uint32(data[at + 3]) & uint32(0x3F), at + 4


@njit(nogil=True, cache=True)
def hash_words(data, start, end, ascii_, codes, words):
    """Put the hash of each word of the UTF-8 `data[start:end]` into `words`; returns how many.

    It ends where `words` is full. `ascii_` and `codes` are those of an `Alphabet`.
    """
    at, count, most = start, 0, words.size
    inside, alone = False, False
    state = _SEED
    while at < end and count < most:
        byte = data[at]
        if byte < 0x80:  # nine bytes in ten of most texts
            at += 1
            lower = ascii_[byte]
            if lower:
                if alone:
                    words[count] = state
                    count += 1
                    alone, state = False, _SEED
                elif not inside:
                    state = _SEED
                inside = True
                state = _folded(state, uint64(lower))
            elif inside:
                words[count] = state
                count += 1
                inside, alone = False, False
            continue
        code, at = _decode(data, at, byte)
        entry = codes[code] if code < codes.size else uint32(0)
        kind = entry >> uint32(24)
        if kind == _IGNORED or (kind == _MARK and not inside):
            continue
        if inside and (kind in (0, _ALONE) or (alone and kind == _LETTER)):
            words[count] = state
            count += 1
            inside, alone = False, False
        if kind == 0:
            continue
        if not inside:
            inside, alone, state = True, kind == _ALONE, _SEED
        state = _folded(state, uint64(entry & uint32(0xFFFFFF)))
    if inside and count < most:
        words[count] = state
        count += 1
    return count


@njit(nogil=True, cache=True)
def hash_characters(data, start, end, ascii_, codes, units):
    """The same for characters: of words, and one space between two words."""
    at, count, most = start, 0, units.size
    waiting = False
    while at < end and count < most:
        byte = data[at]
        if byte < 0x80:
            at += 1
            lower = uint32(ascii_[byte])
            kind = uint32(1) if lower else uint32(0)
        else:
            code, at = _decode(data, at, byte)
            entry = codes[code] if code < codes.size else uint32(0)
            kind, lower = entry >> uint32(24), entry & uint32(0xFFFFFF)
        if kind == 0:
            waiting = count > 0
        elif kind != _IGNORED:
            if waiting:
                units[count] = _folded(_SEED, _SPACE)
                count += 1
                waiting = False
            if count < most:
                units[count] = _folded(_SEED, uint64(lower))
                count += 1
    return count


@njit(nogil=True, cache=True)
def hash_shingles(units, count, size, shingles):
    """Put the hash of each run of `size` units (of all, where there are fewer) into `shingles`.

    Returns how many there are: one at least, also of a text without units.
    """
    runs, length = max(count - size + 1, 1), min(count, size)
    for run in range(runs):
        state = _SEED
        for unit in range(run, run + length):
            state = _folded(state, units[unit])
            state ^= state >> uint64(32)
        shingles[run] = state
    return runs


@njit(inline="always")
def _hash_units(data, start, end, ascii_, codes, by_character, units):
    if by_character:
        return hash_characters(data, start, end, ascii_, codes, units)
    return hash_words(data, start, end, ascii_, codes, units)


@njit(inline="always")
def _longest(offsets, most):
    longest = 0
    for document in range(offsets.size - 1):
        longest = max(longest, offsets[document + 1] - offsets[document])
    return min(longest, most) + 1


@njit(nogil=True, cache=True)
def hash_texts(data, offsets, ascii_, codes, most, keys):
    """Put a 64-bit hash of each text's words, in their order, into `keys`."""
    words = np.empty(_longest(offsets, most), np.uint64)
    for document in range(offsets.size - 1):
        start, end = offsets[document], offsets[document + 1]
        count = hash_words(data, start, end, ascii_, codes, words[:most])
        state = _SEED
        for word in range(count):
            state = (state ^ words[word]) * _SECOND_MULTIPLIER
            state ^= state >> uint64(29)
        keys[document] = (state ^ uint64(count)) * _MULTIPLIER


@njit(nogil=True, cache=True)
def shingle_sets(data, offsets, ascii_, codes, by_character, size, most, sets, ends):
    """Put the sorted, distinct shingles of each text into `sets`, one text after the other.

    `ends` receives where each text's end. `sets` has room for all units of all texts, and one more
    for each.
    """
    units = np.empty(_longest(offsets, most), np.uint64)
    to = 0
    for document in range(offsets.size - 1):
        start, end = offsets[document], offsets[document + 1]
        count = _hash_units(data, start, end, ascii_, codes, by_character, units[:most])
        runs = hash_shingles(units, count, size, sets[to:])
        sets[to : to + runs].sort()
        kept = to
        for at in range(to + 1, to + runs):
            if sets[at] != sets[kept]:
                kept += 1
                sets[kept] = sets[at]
        to = kept + 1
        ends[document] = to


@njit(nogil=True, cache=True)
def signatures32(data, offsets, ascii_, codes, by_character, size, most, a, b, signatures):
    """MinHash signatures, scheme affine32 of datasketch: one row of uint32 for each text."""
    longest = _longest(offsets, most)
    units, shingles = np.empty(longest, np.uint64), np.empty(longest, np.uint64)
    mixed = np.empty(longest + _PADDING, np.uint32)
    for document in range(offsets.size - 1):
        start, end = offsets[document], offsets[document + 1]
        count = _hash_units(data, start, end, ascii_, codes, by_character, units[:most])
        runs = hash_shingles(units, count, size, shingles)
        for run in range(runs):
            h = uint32(shingles[run])
            h = uint32((h ^ (h >> uint32(16))) * uint32(0x85EBCA6B))
            h = uint32((h ^ (h >> uint32(13))) * uint32(0xC2B2AE35))
            mixed[run] = uint32(h ^ (h >> uint32(16)))
        _take_minima32(mixed, _padded(mixed, runs), a, b, signatures[document])


@njit(nogil=True, cache=True)
def signatures64(data, offsets, ascii_, codes, by_character, size, most, a, b, signatures):
    """The same for affine64: rows of uint64."""
    longest = _longest(offsets, most)
    units, shingles = np.empty(longest, np.uint64), np.empty(longest, np.uint64)
    mixed = np.empty(longest + _PADDING, np.uint64)
    for document in range(offsets.size - 1):
        start, end = offsets[document], offsets[document + 1]
        count = _hash_units(data, start, end, ascii_, codes, by_character, units[:most])
        runs = hash_shingles(units, count, size, shingles)
        for run in range(runs):
            h = shingles[run]
            h = (h ^ (h >> uint64(33))) * uint64(0xFF51AFD7ED558CCD)
            h = (h ^ (h >> uint64(33))) * uint64(0xC4CEB9FE1A85EC53)
            mixed[run] = h ^ (h >> uint64(33))
        _take_minima64(mixed, _padded(mixed, runs), a, b, signatures[document])


# Shingles are gone over in vectors: a tail of fewer took as long as eight times as many. Repeating
# the first one changes no minimum.
_PADDING = 32


@njit(inline="always")
def _padded(mixed, count):
    padded = (count + _PADDING - 1) // _PADDING * _PADDING
    for at in range(count, padded):
        mixed[at] = mixed[0]
    return padded


@njit(nogil=True, cache=True)
def _take_minima32(mixed, count, a, b, signature):
    """min(a * h + b) over all h, for each a and b: four at once, vectors of shingles within.

    4 ns a shingle for 112 functions; with the functions in the inner loop it was 16.
    """
    for p in range(0, a.size - 3, 4):
        s0, s1, s2, s3 = signature[p], signature[p + 1], signature[p + 2], signature[p + 3]
        for at in range(count):
            h = mixed[at]
            value = uint32(uint32(a[p] * h) + b[p])
            s0 = value if value < s0 else s0
            value = uint32(uint32(a[p + 1] * h) + b[p + 1])
            s1 = value if value < s1 else s1
            value = uint32(uint32(a[p + 2] * h) + b[p + 2])
            s2 = value if value < s2 else s2
            value = uint32(uint32(a[p + 3] * h) + b[p + 3])
            s3 = value if value < s3 else s3
        signature[p], signature[p + 1], signature[p + 2], signature[p + 3] = s0, s1, s2, s3
    for p in range(a.size // 4 * 4, a.size):
        s0 = signature[p]
        for at in range(count):
            value = uint32(uint32(a[p] * mixed[at]) + b[p])
            s0 = value if value < s0 else s0
        signature[p] = s0


@njit(nogil=True, cache=True)
def _take_minima64(mixed, count, a, b, signature):
    for p in range(a.size):
        least = signature[p]
        for at in range(count):
            value = a[p] * mixed[at] + b[p]
            least = value if value < least else least
        signature[p] = least


@njit(nogil=True, cache=True)
def find_texts(data, offsets, ascii_, codes, lengths, wanted, filter_, found):
    """Mark in `found` the texts with a run of so many words (any of `lengths`) that is in `wanted`.

    `wanted` are sorted hashes; `filter_` has a byte for each value of their highest bits, 1 where
    there is one: it fits the cache, and nearly every run ends there.
    """
    longest = _longest(offsets, data.size)
    words, runs = np.empty(longest, np.uint64), np.empty(longest, np.uint64)
    for text in range(offsets.size - 1):
        count = hash_words(data, offsets[text], offsets[text + 1], ascii_, codes, words)
        found[text] = False
        for length in lengths:
            if found[text] or count < length:
                continue
            for run in range(hash_shingles(words, count, length, runs)):
                if filter_[runs[run] >> uint64(64 - BITS)]:
                    at = np.searchsorted(wanted, runs[run])
                    if at < wanted.size and wanted[at] == runs[run]:
                        found[text] = True
                        break


@njit(nogil=True, cache=True)
def hash_runs(data, offsets, ascii_, codes, size, hashes, counts):
    """Put the hash of each run of `size` words of each text into `hashes`, and how many words each
    has into `counts`; returns how many runs there are. `hashes` has room for a run a byte and one
    for each text."""
    words = np.empty(_longest(offsets, data.size), np.uint64)
    num = 0
    for text in range(offsets.size - 1):
        count = hash_words(data, offsets[text], offsets[text + 1], ascii_, codes, words)
        counts[text] = count
        if count:
            num += hash_shingles(words, count, size, hashes[num:])
    return num


@njit(nogil=True, cache=True)
def mark_runs(data, offsets, ascii_, codes, size, wanted, firsts, shift, seen):
    """Mark in `seen` which of the sorted hashes `wanted` are of a run of `size` words of a text.

    Those whose bits above `shift` are b stand from `firsts[b]` on: one or none, mostly.
    """
    longest = _longest(offsets, data.size)
    words, runs = np.empty(longest, np.uint64), np.empty(longest, np.uint64)
    for text in range(offsets.size - 1):
        count = hash_words(data, offsets[text], offsets[text + 1], ascii_, codes, words)
        for run in range(hash_shingles(words, count, size, runs) if count else 0):
            bits = runs[run] >> shift
            for at in range(firsts[bits], firsts[bits + uint64(1)]):
                if wanted[at] == runs[run]:
                    seen[at] = 1
