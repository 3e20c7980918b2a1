"""Scores: how good a classifier thinks each document is, and which go no further."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from tasks.artifacts.artifact import Artifact, ArtifactType, table
from tasks.artifacts.documents import DOCUMENTS, beginning

COLUMN = "quality"
"""The column of documents that holds the score."""

_PLACES = {"lowest": 0.0, "low": 0.25, "middle": 0.5, "high": 0.75, "highest": 1.0}


class Scores(ArtifactType):
    """Scores of documents; the documents themselves are not copied."""

    # --- looking into it --------------------------------------------------------------------------

    def samples(self, artifact: Artifact, prompts: Sequence[str]) -> Iterator[str]:
        """Give documents of the first file of scores, from the lowest to the highest."""
        import numpy as np

        from storage.parquet import read_table

        files = (e for e in artifact.manifest.files if e.path.startswith("scores/") and e.rows)
        entry = next(files, None)
        if entry is None:
            return
        scored = read_table(artifact.files(entry.path))
        order = np.argsort(scored["score"].to_numpy(), kind="stable")
        chosen = [order[round(at * (len(order) - 1))] for at in _PLACES.values()]
        rows = scored.take(chosen).to_pylist()
        texts = _texts(artifact, {row["document_id"] for row in rows})
        for name, row in zip(_PLACES, rows, strict=True):
            text = beginning(texts.get(row["document_id"], ""))
            yield f"{name}: {row['score']:.4f}, {row['language']}\n{row['url']}\n\n{text}"


def _texts(artifact: Artifact, ids: Collection[str]) -> dict[str, str]:
    """Read texts of the documents that were scored, file by file until all are found."""
    from storage.lookup import find_rows

    texts: dict[str, str] = {}
    for path in artifact.input(DOCUMENTS).files("documents/"):
        found = find_rows([path], "document_id", ids, ["document_id", "text"])
        texts |= {row["document_id"]: row["text"] for row in found}
        if len(texts) == len(ids):
            break
    return texts


SCORES = Scores(
    "scores",
    "documents",
    (
        table("scores", "scores/", "the score of each document, where one is on"),
        table("rejects", "rejects/", "documents that scored too low"),
    ),
)


def fill_in_scores(documents: Iterable[dict[str, Any]], scores: Artifact) -> None:
    """Give documents that have a column for it the score that these scores have for them."""
    from storage.lookup import find_rows

    wanted = {row["document_id"]: row for row in documents if COLUMN in row}
    if wanted:
        columns = ["document_id", "score"]
        for row in find_rows(scores.files("scores/"), "document_id", wanted.keys(), columns):
            wanted[row["document_id"]][COLUMN] = row["score"]
