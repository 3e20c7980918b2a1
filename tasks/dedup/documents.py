"""Documents as the stage needs them: some columns, a row group at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from storage.parquet import shard_name
from tasks.dedup.shingles import Shingles, Texts, texts_of

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Documents:
    """Some documents in an order, and how they are compared.

    `tables(columns)` gives those columns of them, piece by piece.
    """

    tables: Callable[[Sequence[str]], Iterator[pa.Table]]
    shingles: Shingles

    @classmethod
    def of_file(cls, path: Path, shingles: Shingles) -> Documents:
        """All documents of a Parquet file, a row group at a time."""
        return cls(partial(_row_groups, path), shingles)

    @classmethod
    def of_table(cls, table: pa.Table, shingles: Shingles) -> Documents:
        """The rows of a table in memory."""
        return cls(lambda columns: iter([table.select(list(columns))]), shingles)

    def texts(self) -> Iterator[Texts]:
        """All texts, in their order."""
        for table in self.tables(["text"]):
            yield from texts_of(table["text"])

    def map(self, of: Callable[[Texts], npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """What `of` makes of the texts, put together along the last axis."""
        return np.concatenate([of(_NO_TEXTS), *map(of, self.texts())], axis=-1)

    def strings(self, column: str) -> list[str]:
        """A column, whole."""
        return [value for table in self.tables([column]) for value in table[column].to_pylist()]


_NO_TEXTS = Texts(np.frombuffer(b"", np.uint8), np.zeros(1, np.int64))


def _row_groups(path: Path, columns: Sequence[str]) -> Iterator[pa.Table]:
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            yield file.read_row_group(group, columns=list(columns))


def take_rows(path: Path, rows: Rows, columns: Sequence[str]) -> pa.Table:
    """The rows of these numbers, which ascend; of row groups without one, nothing is read."""
    found, first = [], 0
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            last = first + file.metadata.row_group(group).num_rows
            wanted = rows[np.searchsorted(rows, first) : np.searchsorted(rows, last)] - first
            if wanted.size:
                found.append(file.read_row_group(group, columns=list(columns)).take(wanted))
            first = last
        empty = file.schema_arrow.empty_table().select(list(columns))
    return pa.concat_tables(found) if found else empty


def document_files(root: Path, count: int) -> tuple[Path, ...]:
    """The documents of so many shards in the workspace at `root`, made or to be made."""
    return tuple(root / "data" / shard_name("documents", n, count) for n in range(count))
