"""Which instruction pairs came from a document, and at which steps an adapter learnt from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from storage.parquet import find_rows, read_columns


@dataclass(frozen=True)
class TracedPair:
    """One pair; `steps` count from 1. A train pair without steps was too long for the model."""

    name: str
    document_id: str
    split: Literal["train", "validation"]
    steps: tuple[int, ...]


def trace_documents(
    train: Sequence[Path], validation: Sequence[Path], steps: Sequence[Path], ids: Collection[str]
) -> tuple[TracedPair, ...]:
    """The pairs of these documents, by name."""
    columns = ("name", "document_id")
    learnt: dict[str, list[int]] = {}
    for row in find_rows(steps, "document_id", ids, ("name", "step")):
        learnt.setdefault(row["name"], []).append(row["step"])

    def pairs(split: Literal["train", "validation"], paths: Sequence[Path]) -> list[TracedPair]:
        rows: list[dict[str, Any]] = find_rows(paths, "document_id", ids, columns)
        return [
            TracedPair(**row, split=split, steps=tuple(sorted(learnt.get(row["name"], ()))))
            for row in rows
        ]

    found = pairs("train", train) + pairs("validation", validation)
    return tuple(sorted(found, key=lambda pair: pair.name))


def reads_by_document(train: Sequence[Path], steps: Sequence[Path]) -> dict[str, int]:
    """How often a pair of each document was learnt from.

    Where no steps were recorded (before stage version 2), each train pair counts once.
    """
    ids = read_columns(steps or train, ["document_id"])["document_id"].to_pylist()
    return dict(Counter(ids))
