"""Documents as deduplication reads them: without those that the quality stage dropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from storage.errors import Fault, RequestError
from storage.records import DOCUMENT


@dataclass(frozen=True)
class DocumentShard:
    """One shard of documents, and what the quality stage says of it, if anything."""

    documents: Path
    scores: Path | None = None
    rejects: Path | None = None

    @property
    def num_rows(self) -> int:
        """Documents that are kept, from the files' footers."""
        dropped = 0 if self.rejects is None else pq.read_metadata(self.rejects).num_rows
        return int(pq.read_metadata(self.documents).num_rows - dropped)

    def passes(self) -> npt.NDArray[np.bool_]:
        """Which rows of the documents are kept.

        Raises RequestError if the scores are not of these documents.
        """
        ids = pq.read_table(self.documents, columns=["document_id"])["document_id"]
        if self.scores is not None:
            scored = pq.read_table(self.scores, columns=["document_id"])["document_id"]
            if not scored.equals(ids):
                raise RequestError(_other_documents(self))
        if self.rejects is None:
            return np.ones(len(ids), np.bool_)
        dropped = pq.read_table(self.rejects, columns=["id"])["id"]
        return np.asarray(pc.invert(pc.is_in(ids, dropped)).to_numpy())

    def scores_of_all(self) -> pa.ChunkedArray:
        """The score of each row; NaN where nothing was scored."""
        if self.scores is not None:
            return pq.read_table(self.scores, columns=["score"])["score"]
        return pq.read_table(self.documents, columns=["quality"])["quality"]

    def read(self) -> pa.Table:
        """All documents, also those that are dropped, with their scores as `quality`."""
        table = pq.read_table(self.documents)
        place = table.schema.get_field_index("quality")
        return table.set_column(place, DOCUMENT.field("quality"), self.scores_of_all())


def document_shards(
    documents: Sequence[Path], scores: Sequence[Path], rejects: Sequence[Path]
) -> list[DocumentShard]:
    """Each shard with its scores and rejects: files of one number belong together.

    There are no scores at all where no classifier is on, and no rejects where none was dropped.
    """
    if not scores:
        return [DocumentShard(path) for path in documents]
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
