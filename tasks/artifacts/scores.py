"""Scores: how good a classifier thinks each document is, and which go no further."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tasks.artifacts.artifact import (
    Artifact,
    ArtifactType,
    Files,
    Held,
    InputGone,
    TakedownSearch,
    Walk,
    table,
)
from tasks.artifacts.documents import DOCUMENTS, Sources, beginning, draw_dropped, kept_ids
from tasks.artifacts.excerpts import Draw, Excerpt, Excerpts, Wanted, equal_to
from tasks.rejects import Rejected, find_rejects

COLUMN = "quality"
"""The column of documents that holds the score."""

_PLACES = {"lowest": 0.0, "low": 0.25, "middle": 0.5, "high": 0.75, "highest": 1.0}


@dataclass(frozen=True)
class ScoredDocument:
    """A document and its score, as `records.SCORE` describes it."""

    document_id: str
    url: str
    language: str
    score: float


@dataclass(frozen=True)
class ScoresFinding:
    """What one scoring made of some documents; nothing was scored where no classifier is on."""

    is_scored: bool
    scored: tuple[ScoredDocument, ...]
    rejected: tuple[Rejected, ...]

    def lines(self) -> Iterator[str]:
        """Tell the score of each, and the bound that dropped it."""
        if not self.is_scored:
            yield "passed: no classifier is on"
        dropped = {reject.id for reject in self.rejected}
        for document in self.scored:
            kept = "not kept" if document.document_id in dropped else "kept"
            yield f"{kept}: scored {document.score:.4g}, language {document.language}"
        yield from (f"dropped: {reject.verdict}" for reject in self.rejected)


class Scores(ArtifactType):
    """Scores of documents; the documents themselves are not copied."""

    lists_documents: ClassVar[bool] = True

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
        known = Sources.of(artifact).find(row["document_id"] for row in rows)
        for name, row in zip(_PLACES, rows, strict=True):
            text = beginning(known.get(row["document_id"], {}).get("text", ""))
            yield f"{name}: {row['score']:.4f}, {row['language']}\n{row['url']}\n\n{text}"

    def excerpts(self, artifact: Artifact, wanted: Wanted) -> Excerpts:
        """Draw documents with their scores; of a scoring that is off, all that it passes on."""
        if wanted.dropped:
            return draw_dropped(artifact, wanted)
        if not artifact.has("scores/"):
            return DOCUMENTS.excerpts(artifact.input(DOCUMENTS), wanted)
        import pyarrow.compute as pc

        from storage.parquet import read_columns

        draw, where = Draw(wanted), {"language": equal_to(wanted.language)}
        if rejects := artifact.files("rejects/"):
            gone = read_columns(rejects, ["id"])["id"].combine_chunks()
            where["document_id"] = lambda ids: pc.invert(pc.is_in(ids, value_set=gone))
        draw.offer(artifact, "scores/", (), where)
        rows = draw.rows()
        known = Sources.of(artifact).find(row["document_id"] for row in rows)
        found = (
            Excerpt(
                row["document_id"],
                row["url"],
                note=f"scored {row['score']:.4g}",
                **known.get(row["document_id"], {"language": row["language"]}),
            )
            for row in rows
        )
        return Excerpts(draw.total, tuple(found))

    def trace(self, artifact: Artifact, walk: Walk) -> ScoresFinding | None:
        """Tell the scores; where there are none, whether the documents passed."""
        if artifact.has("scores/"):
            found = find_scores(artifact.files, *walk.key())
            walk.learn((one.document_id, one.url) for one in (found.scored if found else ()))
            return found
        try:
            documents = kept_ids(walk.known(artifact, DOCUMENTS))
        except InputGone:
            return None
        return ScoresFinding(False, (), ()) if documents else None

    def held(self, artifact: Artifact, search: TakedownSearch) -> Held:
        """Find its documents."""
        ids = search.covered(artifact.files("scores/"))
        return Held(ids, len(ids), "scores")


def find_scores(files: Files, key: str, values: Collection[str]) -> ScoresFinding | None:
    """Give the scores and rejects of these URLs or document ids; None where there is none."""
    from storage.parquet import find_rows
    from storage.records import SCORE

    scored = [
        ScoredDocument(**row) for row in find_rows(files("scores/"), key, values, SCORE.names)
    ]
    if not scored:
        return None
    rejected = find_rejects(files("rejects/"), "url" if key == "url" else "id", values)
    return ScoresFinding(True, tuple(scored), rejected)


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
    from storage.parquet import find_rows

    wanted = {row["document_id"]: row for row in documents if COLUMN in row}
    if wanted:
        columns = ["document_id", "score"]
        for row in find_rows(scores.files("scores/"), "document_id", wanted.keys(), columns):
            wanted[row["document_id"]][COLUMN] = row["score"]
