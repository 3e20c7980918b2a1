"""Sequences: token ids, packed, each with the documents that they come from."""

from __future__ import annotations

from tasks.artifacts.artifact import TRAIN, ArtifactType, Table


class Sequences(ArtifactType):
    """Rows of token ids in a train and a validation split."""


SEQUENCES = Sequences(
    "sequences",
    "sequences",
    (
        Table(
            "sequences",
            {TRAIN: "train/", "validation": "validation/"},
            "token ids, and which positions come from which document",
        ),
    ),
)
