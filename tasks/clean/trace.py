"""What the clean stage made of a page: a document with its measures, or a reject with its rule."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from storage.parquet import find_rows
from tasks.rejects import Rejected, find_rejects

_MEASURES = (
    "document_id",
    "url",
    "title",
    "date",
    "author",
    "licence",
    "canonical",
    "extractor",
    "language",
    "language_score",
    "num_words",
    "repeated_share",
    "pii",
)


@dataclass(frozen=True)
class CleanedDocument:
    """A document that passed every rule, as `records.DOCUMENT` describes it, and its page."""

    document_id: str
    url: str
    title: str
    date: str
    author: str
    licence: str
    canonical: str
    extractor: str
    language: str
    language_score: float
    num_words: int
    repeated_share: float
    pii: Sequence[str]
    page_id: str


@dataclass(frozen=True)
class CleanTrace:
    """What one cleaning made of some pages."""

    documents: tuple[CleanedDocument, ...]
    rejected: tuple[Rejected, ...]

    def __bool__(self) -> bool:
        return bool(self.documents or self.rejected)


def trace_pages(
    documents: Sequence[Path],
    origins: Sequence[Path],
    rejects: Sequence[Path],
    key: Literal["url", "document_id"],
    values: Collection[str],
) -> CleanTrace:
    """The documents and rejects of these URLs or document ids."""
    found = find_rows(documents, key, values, _MEASURES)
    ids = {row["document_id"] for row in found}
    rows = find_rows(origins, "document_id", ids, ("document_id", "page_id")) if ids else []
    pages = {row["document_id"]: row["page_id"] for row in rows}
    return CleanTrace(
        tuple(CleanedDocument(**row, page_id=pages[row["document_id"]]) for row in found),
        find_rejects(rejects, "url" if key == "url" else "id", values),
    )
