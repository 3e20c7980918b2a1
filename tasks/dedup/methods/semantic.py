"""Documents whose embeddings are near each other, by vectors that the user brings.

Candidates agree in the signs of their products with some random planes; then the cosine itself is
measured. Source: Charikar, STOC 2002 (planes); SemDeDup, arXiv:2303.09540 (what it is good for).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import acos, pi
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import xxhash

from tasks.config import Config, knob
from tasks.dedup.documents import Documents, Rows, read_rows
from tasks.pinned import PinnedFile
from tasks.similarity.shingles import Hashes


class Embeddings(PinnedFile):
    """A Parquet or JSONL file with an embedding for each of some documents."""

    key: Literal["document_id", "url"] = knob(
        "document_id", "column that says which document it is of; ids are those of the clean stage"
    )
    column: str = knob("embedding", "column of the vectors, lists of numbers", min_length=1)

    what: ClassVar[str] = "embeddings"
    suffixes: ClassVar[tuple[str, ...]] = (".parquet", ".jsonl")


@dataclass(frozen=True)
class Vectors:
    """Of some documents, the rows of those that have a vector, ascending, and the vectors (rows x
    dimensions), each of length 1."""

    rows: Rows
    vectors: npt.NDArray[np.float32]


class Semantic(Config):
    """Documents whose embeddings have a high cosine; those without one are like no other."""

    kind: Literal["semantic"] = "semantic"
    measure: ClassVar[Literal["jaccard", "cosine"]] = "cosine"
    embeddings: tuple[Embeddings, ...] = knob(
        ..., "files that have them together; one document, one vector", min_length=1
    )
    min_similarity: float = knob(
        0.95,
        "cosine from which two documents are duplicates. What it means depends on the model that "
        "made the vectors: read some pairs of duplicates.parquet",
        gt=0,
        le=0.9999,
    )
    bands: int = knob(24, "sets of planes; documents that agree in one are measured", ge=1, le=256)
    min_recall: float = knob(
        0.97,
        "share (0-1) of the pairs exactly at `min_similarity` that have to be found: sets get as "
        "many planes as that allows",
        gt=0,
        lt=1,
    )
    seed: int = knob(1, "of the planes", ge=0, le=2**32 - 1)

    @property
    def planes(self) -> int:
        """Planes in a set: as many as find at least `min_recall`, up to 63, or one."""
        agree = 1 - acos(self.min_similarity) / pi
        enough = (
            n for n in range(63, 0, -1) if 1 - (1 - agree**n) ** self.bands >= self.min_recall
        )
        return next(enough, 1)

    def columns(self, threshold: float) -> int:
        return self.bands

    def keys_of(self, documents: Documents, threshold: float) -> Hashes:
        from tasks.dedup.compiled.keys import plane_keys

        found = self.vectors_of(documents)
        ids = [xxhash.xxh3_64_intdigest(one.encode()) for one in documents.strings("document_id")]
        keys = np.tile(np.array(ids, np.uint64), (self.bands, 1))  # of those without: their own
        if found.rows.size:
            of_seed = np.random.RandomState(self.seed)  # its numbers stay as they are for ever
            shape = self.bands * self.planes, found.vectors.shape[1]
            of_rows = np.empty((self.bands, found.rows.size), np.uint64)
            plane_keys(found.vectors, of_seed.standard_normal(shape), self.planes, of_rows)
            keys[:, found.rows] = of_rows
        return keys

    def vectors_of(self, documents: Documents) -> Vectors:
        """The vectors of those documents that have one, each of length 1."""
        return read_vectors(self.embeddings, documents)

    def least(self, threshold: float) -> float:
        return self.min_similarity

    def basis(self, threshold: float) -> dict[str, Any]:
        return {"bands": self.bands, "planes": self.planes, "seed": self.seed}


def read_vectors(files: Sequence[Embeddings], documents: Documents) -> Vectors:
    """The vectors of those of the documents that the files have one of.

    Raises RequestError for a file that has changed or lacks a column, and for vectors of other
    dimensions than the first, without length, with numbers that are none, or given twice.
    """
    found: dict[int, npt.NDArray[np.float32]] = {}
    for file in files:
        rows = {key: row for row, key in enumerate(documents.strings(file.key))}
        for number, entry in read_rows(file, (file.key, file.column)):
            if not {file.key, file.column} <= set(entry):
                raise file.fault(f"row {number}: no {file.key} and {file.column}", "both")
            row = rows.get(entry[file.key])
            if row is None:
                continue
            where = f"row {number}, of {entry[file.key]}"
            vector = _unit(file, where, entry[file.column])
            other = next(iter(found.values()), vector)
            if other.size != vector.size:
                raise file.fault(
                    f"{where}: {vector.size} numbers", f"{other.size}, as the others have"
                )
            if row in found:
                raise file.fault(f"{where}: a second vector", "one for each document")
            found[row] = vector
    ordered = sorted(found)
    vectors = [found[row] for row in ordered] or [np.empty(0, np.float32)]
    return Vectors(np.array(ordered, np.int64), np.stack(vectors)[: len(ordered)])


def _unit(file: Embeddings, where: str, values: Any) -> npt.NDArray[np.float32]:
    try:
        vector = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise file.fault(f"{where}: {error}", "a list of numbers") from error
    if vector.ndim != 1 or not np.isfinite(vector).all():
        raise file.fault(f"{where}: NaN, infinite, or no list", "a list of finite numbers")
    length = np.linalg.norm(vector)
    if length == 0:
        raise file.fault(f"{where}: a vector without length", "one that points somewhere")
    return (vector / length).astype(np.float32)
