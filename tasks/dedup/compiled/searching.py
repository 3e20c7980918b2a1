"""Search in the sorted keys of an index, touching only the blocks that are asked for."""

from __future__ import annotations

import numpy as np
from numba import njit

BLOCK = 1024


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
