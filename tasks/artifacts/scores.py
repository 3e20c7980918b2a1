"""Scores: how good a classifier thinks each document is, and which go no further."""

from __future__ import annotations

from tasks.artifacts.artifact import ArtifactType, table


class Scores(ArtifactType):
    """Scores of documents; the documents themselves are not copied."""


SCORES = Scores(
    "scores",
    "documents",
    (
        table("scores", "scores/", "the score of each document, where one is on"),
        table("rejects", "rejects/", "documents that scored too low"),
    ),
)
