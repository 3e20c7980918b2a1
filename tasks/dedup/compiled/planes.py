"""On which side of random planes vectors lie."""

from __future__ import annotations

import numpy as np
from numba import njit, uint64

from tasks.dedup.hashing import MULTIPLIER, SEED

_SEED, _MULTIPLIER = np.uint64(SEED), np.uint64(MULTIPLIER)


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
