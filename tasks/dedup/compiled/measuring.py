"""All pairs of a sample, and what banding would make of them: compiled, without the GIL."""

from __future__ import annotations

import numpy as np
from numba import njit

from tasks.dedup.compiled.matching import jaccard


@njit(nogil=True, cache=True)
def expect_candidates(sets, starts, sizes, bands, rows, threshold):
    """(expected candidates below the threshold, pairs that reach it, expected candidates of them).

    Document d's sorted shingles are `sets[starts[d]:starts[d] + sizes[d]]`. A pair of similarity s
    is a candidate with the chance 1 - (1 - s**rows)**bands.
    """
    in_vain, alike, found = 0.0, 0, 0.0
    for one in range(starts.size):
        for other in range(one):
            near = jaccard(sets, starts[one], sizes[one], starts[other], sizes[other], 0.0)
            chance = 1 - (1 - near**rows) ** bands
            if near >= threshold:
                alike += 1
                found += chance
            else:
                in_vain += chance
    return in_vain, np.float64(alike), found
