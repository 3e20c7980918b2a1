"""Embeddings of documents, from files that the user brings."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from tasks.config import knob
from tasks.dedup.documents import Documents, Rows
from tasks.pinned import PinnedFile

_ROWS_AT_ONCE = 4096


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


def read_vectors(files: Sequence[Embeddings], documents: Documents) -> Vectors:
    """The vectors of those of the documents that the files have one of.

    Raises RequestError for a file that has changed or lacks a column, and for vectors of other
    dimensions than the first, without length, with numbers that are none, or given twice.
    """
    found: dict[int, npt.NDArray[np.float32]] = {}
    for file in files:
        rows = {key: row for row, key in enumerate(documents.strings(file.key))}
        for number, key, values in _entries(file):
            row = rows.get(key)
            if row is None:
                continue
            where = f"row {number}, of {key}"
            vector = _unit(file, where, values)
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


def _entries(file: Embeddings) -> Iterator[tuple[int, str, Any]]:
    """Row (from 1), key and vector of each embedding of a file."""
    file.require_unchanged()
    path = file.place
    number = 0
    for rows in _parquet(file, path) if path.suffix == ".parquet" else _lines(file, path):
        for row in rows:
            number += 1
            if not isinstance(row, dict) or not {file.key, file.column} <= set(row):
                raise file.fault(f"row {number}: no {file.key} and {file.column}", "both")
            yield number, row[file.key], row[file.column]


def _parquet(file: Embeddings, path: Path) -> Iterator[list[dict[str, Any]]]:
    with pq.ParquetFile(path) as table:
        missing = sorted({file.key, file.column} - set(table.schema_arrow.names))
        if missing:
            raise file.fault(f"no column {missing}", ", ".join(table.schema_arrow.names))
        for batch in table.iter_batches(_ROWS_AT_ONCE, columns=[file.key, file.column]):
            yield batch.to_pylist()


def _lines(file: Embeddings, path: Path) -> Iterator[list[Any]]:
    with path.open(encoding="utf-8-sig") as lines:
        while some := list(islice(lines, _ROWS_AT_ONCE)):
            try:
                yield [json.loads(line) for line in some if line.strip()]
            except ValueError as error:
                raise file.fault(str(error), "a JSON object on each line") from error
