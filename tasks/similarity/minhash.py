"""MinHash signatures by datasketch's functions, and how to band them.

Source: Broder 1997; datasketch 2.0, schemes `affine32` and `affine64` (its older one wraps in
uint64).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Scheme = Literal["affine32", "affine64"]


def permutations(num_perm: int, seed: int, scheme: Scheme = "affine32") -> npt.NDArray[Any]:
    """Give datasketch's a and b of each function (2 x functions)."""
    import datasketch  # and scipy: 0.3 s that every command would pay for reading recipes

    of_seed = datasketch.MinHash(num_perm=num_perm, seed=seed, scheme=scheme)
    return np.asarray(of_seed.permutations)


def best_banding(threshold: float, num_perm: int, min_recall: float) -> tuple[int, int]:
    """Bands, and rows in each: as many rows as find at least this share of the pairs whose
    similarity is the threshold, or one.
    """
    for rows in range(num_perm, 1, -1):
        bands = num_perm // rows
        if recall(threshold, bands, rows) >= min_recall:
            return bands, rows
    return num_perm, 1


def recall(similarity: float, bands: int, rows: int) -> float:
    """The share of the pairs of this similarity (0-1) that agree in a band: the S-curve."""
    return float(1 - (1 - similarity**rows) ** bands)
