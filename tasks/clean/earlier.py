"""What an earlier cleaning made of the pages that are the same today.

What becomes of a page follows from its row in the crawl's page table (URL, media type, charset,
digest of the body), from the configuration and from what is to be forgotten. An earlier cleaning
with the same configuration therefore made what one from scratch would make of each row that it had,
too; its pages are the rows of the crawl that it read, which gc keeps as long as it keeps the
cleaning.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from storage.errors import DamagedArtifact
from storage.parquet import strings
from storage.records import DOCUMENT, PAGE, REJECT, signals_schema
from tasks.progress import note

Row = dict[str, Any]


@dataclass(frozen=True)
class SealedFile:
    """A file of an artifact, and the sha256 that its manifest gives."""

    path: Path
    sha256: str


@dataclass(frozen=True)
class EarlierShard:
    """Where one shard of an earlier cleaning lies: the pages it read and what it made of them.

    A table that had no row is no file.
    """

    pages: SealedFile
    documents: SealedFile | None
    rejects: SealedFile | None
    signals: SealedFile | None


@dataclass(frozen=True)
class Known:
    """What a page gave earlier: a document or a reject, with the signals of its text."""

    row: Row
    signals: Row | None

    @property
    def is_document(self) -> bool:
        return "document_id" in self.row

    @property
    def identity(self) -> str:
        return str(self.row["document_id" if self.is_document else "id"])


def recall(
    earlier: Sequence[EarlierShard], pages: Iterable[Row], signals: Sequence[str]
) -> dict[str, Known]:
    """What each of `pages` gave earlier, by its URL; `signals` are the names of those measured.

    Pages that changed or are new are not among them, nor those whose reject says more of that day
    than of the page. A shard that cannot be read, or is not what was sealed, is passed over.
    """
    found: dict[str, Known] = {}
    today = {page["url"]: page for page in pages}  # a URL is one page of a crawl
    for shard in earlier:
        try:
            found |= _recall(shard, today, signals_schema(signals))
        except (OSError, DamagedArtifact) as error:
            note(f"clean: passed over {shard.pages.path.name} of an earlier cleaning: {error}")
    return found


def _recall(shard: EarlierShard, today: Mapping[str, Row], signals: pa.Schema) -> dict[str, Known]:
    before = _rows(shard.pages, PAGE, today)
    same = {row["url"] for row in before if row == today[row["url"]]}
    if not same:
        return {}
    documents = _rows(shard.documents, DOCUMENT, same)
    rejects = _rows(shard.rejects, REJECT, same)
    measured = {row["url"]: row for row in _rows(shard.signals, signals, same)}
    return {
        row["url"]: Known(row, measured.get(row["url"]))
        for row in (*documents, *filter(_is_lasting, rejects))
        if row["url"] in measured or row.get("reason") == "no_text"
    }


def _is_lasting(reject: Row) -> bool:
    """Whether the page alone decided. A crash or a timeout may have been the machine's fault, and
    what was forgotten then may come back."""
    reason = str(reject["reason"])
    return reason != "forgotten" and not reason.startswith("extractor_")


def _rows(file: SealedFile | None, schema: pa.Schema, urls: Collection[str]) -> list[Row]:
    """The rows of these URLs; none if the file is of an earlier schema.

    Hashed first (0.7 ms for each MB): what is copied from a damaged file would be sealed as sound.
    """
    if file is None:
        return []
    data = file.path.read_bytes()
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise DamagedArtifact(
            f"{file.path} is not what its manifest says (sha256 {file.sha256[:12]}); expected it "
            "unchanged. `phusa verify --deep` names all such files."
        )
    rows: list[Row] = []
    wanted = strings(urls)
    with pq.ParquetFile(pa.BufferReader(data)) as table:
        if not table.schema_arrow.equals(schema):
            return []
        for group in range(table.num_row_groups):
            part = table.read_row_group(group)
            rows += part.filter(pc.is_in(part["url"], value_set=wanted)).to_pylist()
    return rows
