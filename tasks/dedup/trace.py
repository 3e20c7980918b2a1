"""What deduplication made of a document: kept, and in whose place, or dropped, and for which."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from storage.lookup import find_rows, read_columns
from storage.records import DUPLICATE


@dataclass(frozen=True)
class Duplicate:
    """A document that was dropped for another, as `records.DUPLICATE` describes it."""

    document_id: str
    url: str
    kept_id: str
    kept_url: str
    similarity: float
    method: str
    kept_in: str = ""


@dataclass(frozen=True)
class KeptDocument:
    """A document that stayed; its id names the cluster of those dropped for it."""

    document_id: str
    url: str
    dropped: tuple[Duplicate, ...]


@dataclass(frozen=True)
class DedupTrace:
    """What one deduplication made of some documents.

    Documents at least as similar as `threshold` are one cluster; the rules of `keep`, in order,
    chose which stays.
    """

    threshold: float
    keep: tuple[str, ...]
    kept: tuple[KeptDocument, ...]
    dropped: tuple[Duplicate, ...]

    def __bool__(self) -> bool:
        return bool(self.kept or self.dropped)


def trace_documents(
    documents: Sequence[Path],
    duplicates: Sequence[Path],
    ids: Collection[str],
    threshold: float,
    keep: Sequence[str],
) -> DedupTrace:
    """The clusters that these documents belong to."""
    columns = evidence_columns(duplicates)
    dropped = [Duplicate(**r) for r in find_rows(duplicates, "document_id", ids, columns)]
    kept = find_rows(documents, "document_id", ids, ("document_id", "url"))
    in_favour = [Duplicate(**r) for r in find_rows(duplicates, "kept_id", ids, columns)]
    in_favour.sort(key=lambda duplicate: (-duplicate.similarity, duplicate.url))
    clusters = (
        KeptDocument(**row, dropped=tuple(d for d in in_favour if d.kept_id == row["document_id"]))
        for row in kept
    )
    return DedupTrace(threshold, tuple(keep), tuple(clusters), tuple(dropped))


def evidence_columns(duplicates: Sequence[Path]) -> list[str]:
    """The columns of `records.DUPLICATE` that are there: `kept_in` came with stage version 2."""
    held = set(pq.read_schema(duplicates[0]).names) if duplicates else set()
    return [name for name in DUPLICATE.names if name in held]


def find_documents(
    documents: Sequence[Path],
    duplicates: Sequence[Path],
    key: Literal["url", "document_id"],
    values: Collection[str],
) -> list[tuple[str, str]]:
    """(document id, URL) of the documents, kept or dropped, of these URLs or ids."""
    rows = [
        row
        for paths in (documents, duplicates)
        for row in find_rows(paths, key, values, ("document_id", "url"))
    ]
    return [(row["document_id"], row["url"]) for row in rows]


def read_sources(documents: Sequence[Path]) -> pa.Table:
    """Id, URL and language of every document that was kept."""
    return read_columns(documents, ["document_id", "url", "language"])
