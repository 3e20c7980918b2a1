"""Documents as deduplication reads them: those that the quality stage let through, by columns."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from storage.errors import Fault, RequestError
from storage.parquet import ROW_GROUP_ROWS, shard_name
from storage.records import DOCUMENT
from tasks.pinned import PinnedFile
from tasks.similarity.shingles import NO_TEXTS, Shingles, Texts, texts_of

_ROWS_AT_ONCE = 4096
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
        return np.concatenate([of(NO_TEXTS), *map(of, self.texts())], axis=-1)

    def strings(self, column: str) -> list[str]:
        """A column, whole."""
        return [value for table in self.tables([column]) for value in table[column].to_pylist()]


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


def read_rows(file: PinnedFile, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number (from 1) and values of each row of a Parquet or JSONL file that a recipe names.

    Raises RequestError if it has changed, lacks one of the columns, or a line is no JSON object.
    """
    file.require_unchanged()
    if file.place.suffix == ".parquet":
        with pq.ParquetFile(file.place) as table:
            names = table.schema_arrow.names
            missing = sorted(set(columns) - set(names))
            if missing:
                raise file.fault(f"no column {missing}", f"some of {', '.join(names)}")
            batches = table.iter_batches(_ROWS_AT_ONCE, columns=list(columns))
            yield from enumerate((row for batch in batches for row in batch.to_pylist()), 1)
        return
    num, expected = 0, "a JSON object on each line"
    with file.place.open(encoding="utf-8-sig", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise file.fault(f"line {number}: {error}", expected) from error
            if not isinstance(row, dict):
                raise file.fault(f"line {number}: {type(row).__name__}", expected)
            num += 1
            yield num, row


def numbered(sizes: Sequence[int]) -> Rows:
    """Things numbered through several files: the number of the first of each, and one past the
    last."""
    return np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64)


@dataclass(frozen=True)
class DocumentShard:
    """One shard of documents, and what the quality stage says of it."""

    documents: Path
    scores: Path
    rejects: Path | None = None

    def select(self, target: Path) -> None:
        """Write the documents that are kept, with their scores as `quality`.

        Raises RequestError if the scores are not of these documents.
        """
        import pyarrow.compute as pc  # 0.04 s that a recipe need not pay

        if target.exists():
            return
        table = pq.read_table(self.documents)
        scored = pq.read_table(self.scores, columns=["document_id", "score"])
        if not scored["document_id"].equals(table["document_id"]):
            raise RequestError(_other_documents(self))
        place = table.schema.get_field_index("quality")
        table = table.set_column(place, DOCUMENT.field("quality"), scored["score"])
        if self.rejects is not None:
            dropped = pq.read_table(self.rejects, columns=["id"])["id"]
            table = table.filter(pc.invert(pc.is_in(table["document_id"], dropped)))
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".tmp-{uuid.uuid4().hex}-{target.name}")
        pq.write_table(table, temporary, row_group_size=ROW_GROUP_ROWS, compression="zstd")
        temporary.replace(target)


def document_shards(
    documents: Sequence[Path], scores: Sequence[Path], rejects: Sequence[Path]
) -> list[DocumentShard]:
    """Each shard with its scores and rejects: files of one number belong together.

    There are no rejects where none was dropped. Where no classifier is on there are no scores at
    all, and nothing is to be selected: documents are taken as they are.
    """
    if len(scores) != len(documents):
        raise RequestError(_other_documents(DocumentShard(documents[0], scores[0])))
    by_number = {path.name: path for path in rejects}
    return [
        DocumentShard(path, of_it, by_number.get(of_it.name))
        for path, of_it in zip(documents, scores, strict=True)
    ]


def _other_documents(shard: DocumentShard) -> Fault:
    return Fault(
        "input quality of dedup",
        f"scores of other documents than {shard.documents} holds",
        "the scores of the documents that are deduplicated",
        "Run from quality on (--from quality), or give a pair that belongs together with --input.",
    )
