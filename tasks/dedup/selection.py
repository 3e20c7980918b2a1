"""Documents as deduplication reads them: without those that the quality stage dropped."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from storage.errors import Fault, RequestError
from storage.parquet import ROW_GROUP_ROWS
from storage.records import DOCUMENT


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
