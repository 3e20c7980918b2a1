"""What the quality stage made of a document: its score, and the bound that dropped it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from storage.parquet import find_rows
from storage.records import SCORE
from tasks.rejects import Rejected, find_rejects


@dataclass(frozen=True)
class ScoredDocument:
    """A document and its score, as `records.SCORE` describes it."""

    document_id: str
    url: str
    language: str
    score: float


@dataclass(frozen=True)
class QualityTrace:
    """What one scoring made of some documents; nothing was scored where no classifier is on."""

    is_scored: bool
    scored: tuple[ScoredDocument, ...]
    rejected: tuple[Rejected, ...]


def trace_documents(
    scores: Sequence[Path],
    rejects: Sequence[Path],
    key: Literal["url", "document_id"],
    values: Collection[str],
) -> QualityTrace | None:
    """The scores and rejects of these URLs or document ids; None where there is none."""
    scored = [ScoredDocument(**row) for row in find_rows(scores, key, values, SCORE.names)]
    if not scored:
        return None
    rejected = find_rejects(rejects, "url" if key == "url" else "id", values)
    return QualityTrace(True, tuple(scored), rejected)
