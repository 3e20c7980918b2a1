"""MinHash with banding, by datasketch.

Source: Broder 1997; datasketch 2.0, scheme `affine32` (its older scheme wraps in uint64).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Literal

import xxhash

from tasks.config import Config, knob
from tasks.dedup.shingles import Shingled

SCHEME = "affine32"
# Every candidate is measured before it counts, so a false candidate costs microseconds and a missed
# one costs a duplicate: the bands are chosen for recall.
_FALSE_CANDIDATE_WEIGHT, _MISSED_PAIR_WEIGHT = 0.1, 0.9
_HIGHEST_BAND_THRESHOLD = 0.95  # closer to 1, datasketch wants one single band, and refuses it


class MinHash(Config):
    """Documents that agree in one band of their signatures are candidates."""

    kind: Literal["minhash"] = "minhash"
    num_perm: int = knob(
        112, "hash functions in a signature", ge=16, le=1024, source="FineWeb, arXiv:2406.17557"
    )
    seed: int = knob(1, "of the hash functions", ge=0)

    def bands(self, threshold: float) -> tuple[int, int]:
        """Number of bands and rows per band for a similarity threshold (0-1)."""
        return _bands(min(threshold, _HIGHEST_BAND_THRESHOLD), self.num_perm)

    def prepare(self, threshold: float) -> Callable[[Shingled], list[int]]:
        """A function from a document to the 64-bit keys that its candidates share."""
        import datasketch  # and scipy: 0.3 s that every command would pay for reading recipes

        num_bands, num_rows = self.bands(threshold)
        empty = datasketch.MinHash(
            num_perm=self.num_perm,
            seed=self.seed,
            scheme=SCHEME,
            hashfunc=xxhash.xxh32_intdigest,
        )

        def keys(document: Shingled) -> list[int]:
            signature = empty.copy()
            signature.update_batch(document.shingles)
            rows = signature.digest()
            return [
                xxhash.xxh3_64_intdigest(
                    rows[band * num_rows : (band + 1) * num_rows].tobytes(), seed=band
                )
                for band in range(num_bands)
            ]

        return keys


@cache  # 1 024 functions take datasketch seconds
def _bands(threshold: float, num_perm: int) -> tuple[int, int]:
    import datasketch

    lsh = datasketch.MinHashLSH(
        threshold=threshold,
        num_perm=num_perm,
        weights=(_FALSE_CANDIDATE_WEIGHT, _MISSED_PAIR_WEIGHT),
    )
    return lsh.b, lsh.r
