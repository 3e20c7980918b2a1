"""Texts to pieces and their hashes: lines, paragraphs, runs of words or bytes."""

from __future__ import annotations

import numpy as np
from numba import njit, uint32, uint64

from tasks.similarity.compiled.words import _decode

# Those of `shingles`, spelt out: the cache of compiled code looks at this file's time alone.
_SEED, _MULTIPLIER = np.uint64(0x9E3779B97F4A7C15), np.uint64(0x9E3779B185EBCA87)
_NEW_LINE, _SPACE = 10, 32
_MARK, _ALONE, _IGNORED = 2, 3, 4  # as in shingles.py


@njit(nogil=True, cache=True)
def split_lines(data, offsets, by_paragraph, starts, ends, bounds):
    """Where each line that is not blank, or each run of such lines, begins and ends in `data`.

    White space around them is left out. The units of text d are `bounds[d]` to `bounds[d + 1]`;
    returns how many there are. `starts` and `ends` have room for one a text and one a line feed.
    """
    num = 0
    for document in range(offsets.size - 1):
        bounds[document] = num
        at, end = offsets[document], offsets[document + 1]
        is_open = False
        while at < end:
            stop = at
            while stop < end and data[stop] != _NEW_LINE:
                stop += 1
            first, last = at, stop
            while first < last and data[first] <= _SPACE:
                first += 1
            while last > first and data[last - 1] <= _SPACE:
                last -= 1
            if first == last:
                is_open = False
            elif is_open and by_paragraph:
                ends[num - 1] = last
            else:
                starts[num], ends[num] = first, last
                num += 1
                is_open = True
            at = stop + 1
    bounds[offsets.size - 1] = num
    return num


@njit(nogil=True, cache=True)
def split_words(data, offsets, codes, starts, ends, bounds):
    """The same for what stands between white space, and for each letter with its marks in scripts
    that put no spaces between words.

    `starts` and `ends` have room for one a text and one for two bytes.
    """
    num = 0
    for document in range(offsets.size - 1):
        bounds[document] = num
        at, end = offsets[document], offsets[document + 1]
        inside, alone = False, False
        while at < end:
            byte = data[at]
            if byte < 0x80:
                if byte <= _SPACE:
                    inside = False
                else:
                    if alone or not inside:
                        starts[num] = at
                        num += 1
                        inside, alone = True, False
                    ends[num - 1] = at + 1
                at += 1
                continue
            code, after = _decode(data, at, byte)
            kind = codes[code] >> uint32(24) if code < codes.size else uint32(0)
            is_own = kind == _ALONE
            goes_on = inside and not is_own and (not alone or kind in (_MARK, _IGNORED))
            if not goes_on:
                starts[num] = at
                num += 1
                inside, alone = True, is_own
            ends[num - 1] = after
            at = after
    bounds[offsets.size - 1] = num
    return num


@njit(nogil=True, cache=True)
def hash_units(data, starts, ends, hashes, lengths):
    """A 64-bit hash of each unit, in which a run of white space is one space, and its length in
    characters."""
    for unit in range(starts.size):
        state, length = _SEED, 0
        at, end = starts[unit], ends[unit]
        while at < end:
            byte = data[at]
            at += 1
            if byte <= _SPACE and end - starts[unit] > 1:
                byte = np.uint8(_SPACE)
                while at < end and data[at] <= _SPACE:
                    at += 1
            state = (state ^ uint64(byte)) * _MULTIPLIER
            length += (byte & 0xC0) != 0x80
        state ^= state >> uint64(32)
        hashes[unit] = state * _MULTIPLIER
        lengths[unit] = length


@njit(nogil=True, cache=True)
def hash_windows(hashes, bounds, width, keys, units):
    """A 64-bit hash of each run of `width` units within a text, and the unit it begins with.

    It rolls: what a run costs does not grow with its width. Returns how many runs there are.
    """
    leading = uint64(1)
    for _ in range(width - 1):
        leading *= _MULTIPLIER
    num = 0
    for document in range(bounds.size - 1):
        first, last = bounds[document], bounds[document + 1]
        state = uint64(0)
        for unit in range(first, last):
            if unit - first >= width:
                state -= hashes[unit - width] * leading
            state = state * _MULTIPLIER + hashes[unit]
            if unit - first >= width - 1:
                mixed = (state ^ (state >> uint64(32))) * _MULTIPLIER
                keys[num], units[num] = mixed ^ (mixed >> uint64(29)), unit - width + 1
                num += 1
    return num


@njit(nogil=True, cache=True)
def count_same(data, starts, ends, at, other, other_starts, other_ends, there, count):
    """How many of `count` units from `at` on are the units from `there` on, byte for byte, but that
    a run of white space is like any other; up to the first that is not."""
    for unit in range(count):
        one, end = starts[at + unit], ends[at + unit]
        two, other_end = other_starts[there + unit], other_ends[there + unit]
        if end - one == 1 and other_end - two == 1:
            if data[one] != other[two]:
                return unit
            continue
        while one < end and two < other_end:
            byte, byte_there = data[one], other[two]
            one += 1
            two += 1
            if byte <= _SPACE and byte_there <= _SPACE:
                while one < end and data[one] <= _SPACE:
                    one += 1
                while two < other_end and other[two] <= _SPACE:
                    two += 1
            elif byte != byte_there:
                return unit
        if one < end or two < other_end:
            return unit
    return count
