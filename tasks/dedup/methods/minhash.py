"""MinHash with banding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import model_validator

from tasks.config import Config, knob
from tasks.dedup.documents import Documents, take_rows
from tasks.similarity.minhash import Scheme, best_banding, permutations
from tasks.similarity.shingles import Hashes, Shingles, Texts, shingle_sets, sign, texts_of


class MinHash(Config):
    """Documents that agree in one band of their signatures are measured."""

    kind: Literal["minhash"] = "minhash"
    measure: ClassVar[Literal["jaccard", "cosine"]] = "jaccard"
    num_perm: int = knob(
        112, "hash functions in a signature", ge=16, le=1024, source="FineWeb, arXiv:2406.17557"
    )
    bands: int | None = knob(
        None, "bands of a signature; with `rows`. Null: chosen by `min_recall`", ge=1, le=1024
    )
    rows: int | None = knob(None, "rows in a band; with `bands`", ge=1, le=1024)
    min_recall: float = knob(
        0.97,
        "share (0-1) of the pairs exactly at the threshold that have to be found: bands get as "
        "many rows as that allows. False candidates cost microseconds, a missed pair a duplicate",
        gt=0,
        lt=1,
    )
    scheme: Scheme = knob(
        "affine32",
        "datasketch's scheme: affine64 for documents of a hundred million shingles",
    )
    seed: int = knob(1, "of the hash functions", ge=0, le=2**32 - 1)

    @model_validator(mode="after")
    def _bands_fit(self) -> Self:
        if (self.bands is None) != (self.rows is None):
            raise ValueError(
                f"bands {self.bands} and rows {self.rows}; expected both, or neither, to have them "
                "chosen"
            )
        if self.bands and self.rows and self.bands * self.rows > self.num_perm:
            raise ValueError(
                f"bands {self.bands} x rows {self.rows} is {self.bands * self.rows}; expected "
                f"num_perm {self.num_perm} at most"
            )
        return self

    def banding(self, threshold: float) -> tuple[int, int]:
        """Number of bands, and of rows in each, for a similarity threshold (0-1)."""
        if self.bands and self.rows:
            return self.bands, self.rows
        return best_banding(threshold, self.num_perm, self.min_recall)

    def permutations(self) -> npt.NDArray[Any]:
        """datasketch's a and b of each function (2 x functions)."""
        return permutations(self.num_perm, self.seed, self.scheme)

    def signatures(self, texts: Texts, shingles: Shingles) -> npt.NDArray[Any]:
        """A row of `num_perm` minima for each text, which `datasketch.MinHash` takes as its own."""
        return sign(texts, shingles, self.permutations())

    def columns(self, threshold: float) -> int:
        return self.banding(threshold)[0]

    def keys_of(self, documents: Documents, threshold: float) -> Hashes:
        from tasks.similarity.compiled.signatures import band_keys

        permutations, banding = self.permutations(), self.banding(threshold)

        def of(texts: Texts) -> Hashes:
            keys = np.empty((banding[0], len(texts)), np.uint64)
            band_keys(sign(texts, documents.shingles, permutations), *banding, keys)
            return keys

        return documents.map(of)

    def least(self, threshold: float) -> float:
        return threshold

    def basis(self, threshold: float) -> dict[str, Any]:
        num_bands, num_rows = self.banding(threshold)
        return {
            "scheme": self.scheme,
            "num_perm": self.num_perm,
            "seed": self.seed,
            "bands": num_bands,
            "rows": num_rows,
        }


@dataclass(frozen=True)
class Expected:
    """Pairs of a whole corpus, as a sample of it lets expect.

    `candidates` would be measured; `in_vain` of them are below the threshold; `duplicates` reach
    it; `missed` of these share no band.
    """

    documents: int
    sampled: int
    candidates: float
    in_vain: float
    duplicates: float
    missed: float


def expect(
    documents: Sequence[Path],
    shingles: Shingles,
    threshold: float,
    banding: tuple[int, int],
    sample: int,
) -> Expected:
    """What `banding` (bands, rows) would find among these documents, from `sample` of them.

    Every pair of the sample is measured, so what the estimate says of pairs below the threshold is
    what they are like in the corpus, and no assumption about them.

    The sample is taken evenly from the beginning of the files, whose rows are in the order of their
    ids, which are hashes. Measuring takes 0.5 s for 1 000 documents of 500 words, and grows with
    the square.
    """
    from tasks.dedup.compiled.matching import expect_candidates

    total = sum(int(pq.read_metadata(path).num_rows) for path in documents)
    texts = pa.chunked_array(_sample(documents, sample), pa.string())
    parts = [shingle_sets(chunk, shingles) for chunk in texts_of(texts)]
    sets = np.concatenate([np.empty(0, np.uint64), *(part for part, _ in parts)])
    sizes = np.concatenate([np.empty(0, np.int64), *(size for _, size in parts)])
    starts = np.cumsum(sizes) - sizes
    in_vain, alike, found = expect_candidates(sets, starts, sizes, *banding, threshold)
    pairs = len(texts) * (len(texts) - 1)
    scale = total * (total - 1) / pairs if pairs else 0.0
    return Expected(
        documents=total,
        sampled=len(texts),
        candidates=(in_vain + found) * scale,
        in_vain=in_vain * scale,
        duplicates=alike * scale,
        missed=(alike - found) * scale,
    )


def _sample(documents: Sequence[Path], sample: int) -> list[pa.Array]:
    """The first texts of each file, `sample` in all, or all that there are."""
    found: list[pa.Array] = []
    for number, path in enumerate(documents):
        wanted = -(-(sample - sum(map(len, found))) // (len(documents) - number))
        rows = np.arange(min(wanted, pq.read_metadata(path).num_rows))
        found += take_rows(path, rows, ["text"])["text"].chunks
    return found
