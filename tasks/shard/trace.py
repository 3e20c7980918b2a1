"""Where a document's tokens lie in the shards, and how many tokens of each document a row holds."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from storage.parquet import groups_with, strings

Split = Literal["train", "validation"]
_DOCUMENT_ID = "spans.list.element.document_id"


@dataclass(frozen=True)
class RowSpan:
    """The part of one row that holds a document's tokens.

    `row` counts within `file`, `index` over all files of the split; `start` to `end` are positions
    in the row. `tokens` are those predicted here: a row begins with the last token of the row
    before, where it was predicted already.
    """

    file: str
    row: int
    index: int
    start: int
    end: int
    tokens: int


@dataclass(frozen=True)
class ShardedDocument:
    """A document in one split; its tokens and the rows that hold them."""

    document_id: str
    split: Split
    tokens: int
    spans: tuple[RowSpan, ...]


@dataclass(frozen=True)
class ShardTrace:
    """Where one sharding put some documents; `train_rows` are all rows of the train split."""

    train_rows: int
    documents: tuple[ShardedDocument, ...]

    def __bool__(self) -> bool:
        return bool(self.documents)


def trace_documents(
    train: Sequence[Path], validation: Sequence[Path], ids: Collection[str]
) -> ShardTrace:
    """The rows of both splits that hold tokens of these documents."""
    splits: Mapping[Split, Sequence[Path]] = {"train": train, "validation": validation}
    documents = []
    train_rows = 0
    for split, paths in splits.items():
        spans, num_rows = _find_spans(paths, ids)
        train_rows += num_rows if split == "train" else 0
        for document_id, found in sorted(spans.items()):
            tokens = sum(span.tokens for span in found)
            documents.append(ShardedDocument(document_id, split, tokens, tuple(found)))
    return ShardTrace(train_rows, tuple(documents))


def _find_spans(
    paths: Sequence[Path], ids: Collection[str]
) -> tuple[dict[str, list[RowSpan]], int]:
    """The spans of each document, and the number of rows of all files."""
    found: dict[str, list[RowSpan]] = {}
    earlier = 0  # rows of the files before
    for path in paths:
        name = f"{path.parent.name}/{path.name}"
        with pq.ParquetFile(path) as file:
            for group in groups_with(file, _DOCUMENT_ID, ids):
                before = sum(file.metadata.row_group(g).num_rows for g in range(group))
                for row, span in _spans_in(file.read_row_group(group, ["spans"]), ids):
                    place = RowSpan(
                        file=name,
                        row=before + row,
                        index=earlier + before + row,
                        start=span["start"],
                        end=span["end"],
                        tokens=span["end"] - max(span["start"], 1),
                    )
                    found.setdefault(span["document_id"], []).append(place)
            earlier += file.metadata.num_rows
    return found, earlier


def _spans_in(table: pa.Table, ids: Collection[str]) -> list[tuple[int, dict[str, Any]]]:
    """(row, span) of each span of these documents."""
    rows, spans = _flat(table)
    mask = pc.is_in(spans.field("document_id"), value_set=strings(ids))
    hits = zip(rows.filter(mask).to_pylist(), spans.filter(mask).to_pylist(), strict=True)
    return list(hits)


def _flat(table: pa.Table) -> tuple[pa.Array, pa.StructArray]:
    """The row of each span, and all spans."""
    column = table["spans"].combine_chunks()
    return pc.list_parent_indices(column), pc.list_flatten(column)


def tokens_by_document(paths: Sequence[Path], times: npt.NDArray[np.int64]) -> dict[str, int]:
    """Tokens of each document that are predicted if row `i` of the files is read `times[i]` times.

    The marks between documents belong to none and are not counted.
    """
    totals: dict[str, int] = {}
    earlier = 0
    for path in paths:
        with pq.ParquetFile(path) as file:
            table = file.read(["spans"])
        rows, spans = _flat(table)
        names = spans.field("document_id").dictionary_encode()
        start, end = (spans.field(side).to_numpy() for side in ("start", "end"))
        tokens = (end - np.maximum(start, 1)) * times[earlier + rows.to_numpy()]
        sums = np.zeros(len(names.dictionary), dtype=np.int64)
        np.add.at(sums, names.indices.to_numpy(), tokens)
        for name, total in zip(names.dictionary.to_pylist(), sums.tolist(), strict=True):
            totals[name] = totals.get(name, 0) + total
        earlier += table.num_rows
    return totals


def count_rows(paths: Sequence[Path]) -> int:
    """Rows of all files."""
    return sum(pq.read_metadata(path).num_rows for path in paths)
