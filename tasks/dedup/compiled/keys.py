"""Keys of sides of planes, and search in sorted keys."""

from __future__ import annotations

import numpy as np
from numba import njit, uint64

# Those of `shingles`, spelt out: the cache of compiled code looks at this file's time alone.
_SEED, _MULTIPLIER = np.uint64(0x9E3779B97F4A7C15), np.uint64(0x9E3779B185EBCA87)

BLOCK = 1024
"""How many keys of an index are looked at together: each block's first is one of its fences."""


@njit(nogil=True, cache=True)
def plane_keys(vectors, planes, width, keys):
    """Put a 64-bit key of each set of `width` planes into `keys` (sets x vectors).

    Products are summed in the order of the dimensions: by BLAS, a product near 0 had another sign
    with other vectors beside it.
    """
    for vector in range(vectors.shape[0]):
        for band in range(keys.shape[0]):
            sides = uint64(0)
            for plane in range(band * width, (band + 1) * width):
                total = 0.0
                for at in range(vectors.shape[1]):
                    total += np.float64(vectors[vector, at]) * planes[plane, at]
                sides = sides << uint64(1) | uint64(total >= 0)
            state = (sides ^ (_SEED + uint64(band))) * _MULTIPLIER
            keys[band, vector] = (state ^ (state >> uint64(32))) * _MULTIPLIER


@njit(nogil=True, cache=True)
def find_keys(wanted, keys, fences, own, there):
    """Where each of the sorted `wanted` stands in the sorted `keys`, with all its equals.

    `fences` is every `BLOCK`th key. Pairs of places go into `own` (in `wanted`) and `there` (in
    `keys`) as far as they have room. Returns the number of pairs; or, where keys do not ascend or
    do not fit the fences, -1 minus the place of the first that does not.
    """
    num, checked = 0, -1
    for at in range(wanted.size):
        key = wanted[at]
        block = np.searchsorted(fences, key) - 1  # the first of its equals may end the one before
        block = max(block, 0)
        place = block * BLOCK
        if block > checked:
            wrong = _first_wrong(keys, fences, block)
            if wrong >= 0:
                return -1 - wrong
            checked = block
        place += np.searchsorted(keys[place : place + BLOCK], key)
        while place < keys.size and keys[place] == key:
            if num < own.size:
                own[num], there[num] = at, place
            num += 1
            place += 1
    return num


@njit(nogil=True, cache=True)
def _first_wrong(keys, fences, block):
    first, last = block * BLOCK, min((block + 1) * BLOCK, keys.size)
    if first < keys.size and keys[first] != fences[block]:
        return first
    for at in range(first + 1, last):
        if keys[at] < keys[at - 1]:
            return at
    return -1
