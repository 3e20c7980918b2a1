"""Scores: how good a classifier thinks each document is, and which go no further."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import ClassVar

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
from tasks.artifacts.documents import DOCUMENTS, kept_ids
from tasks.rejects import Rejected, find_rejects


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
    from storage.lookup import find_rows
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
