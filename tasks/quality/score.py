"""Score shards, decide over all of them, and name what is dropped.

Nothing is copied: the artifact holds scores and rejects, and deduplication reads the documents
beside them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from storage.parquet import read_columns, read_table, write_rows, write_table
from storage.records import REJECT, SCORE
from storage.workspace import Workspace
from tasks.quality.config import EVEN, QualityConfig
from tasks.quality.model import load_model

REASON = "low_quality"


@dataclass(frozen=True)
class Decision:
    """From which score on a document is kept.

    At `cut_at`, the score that `keep_share` ends in, only `kept_ties` are; it is None under a
    threshold.
    """

    threshold: float
    thresholds: dict[str, float] = field(default_factory=dict)
    cut_at: float | None = None
    kept_ties: frozenset[str] = frozenset()
    filters: bool = True

    def bound_of(self, language: str) -> float:
        """The least score that is kept in a language."""
        return self.thresholds.get(language, self.threshold)


def score_shard(
    documents: Path,
    model: Path,
    workspace: Workspace,
    path: str,
    advance: Callable[[int], None] = lambda _: None,
) -> None:
    """Write the score of each document of a shard, in the shard's order."""
    if workspace.entry(path):
        return
    linear = load_model(model)
    tables = []
    with pq.ParquetFile(documents) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, ["document_id", "url", "language", "text"])
            scores = pa.array(linear.score(table["text"]))
            tables.append(table.drop_columns(["text"]).append_column("score", scores))
            advance(table.num_rows)
    write_table(workspace, path, pa.concat_tables(tables).cast(SCORE))


def decide(scores: Sequence[Path], config: QualityConfig) -> Decision:
    """The bound that the configuration asks for, over all shards.

    Under `keep_share` exactly that share of the documents is kept, rounded, and one at least: those
    that score best, of equal ones those whose ids come first.
    """
    filters = config.action == "filter"
    if config.keep_share is None:
        threshold = EVEN if config.threshold is None else config.threshold
        return Decision(threshold, dict(config.thresholds), filters=filters)
    found = _column(scores)
    num_kept = max(1, math.floor(config.keep_share * found.size + 0.5))
    cut = np.partition(found, found.size - num_kept)[found.size - num_kept]
    num_ties = num_kept - int((found > cut).sum())
    ties = sorted(_ids_at(scores, cut))
    bound = float(cut)
    return Decision(bound, cut_at=bound, kept_ties=frozenset(ties[:num_ties]), filters=filters)


def reject_shard(scores: Path, decision: Decision, workspace: Workspace, path: str) -> None:
    """Write what is dropped of one shard, each with its score and the bound.

    Unlike other stages' rejects these are content: what they name does not reach the next stage.
    """
    if workspace.entry(path):
        return
    table = read_table([scores])
    dropped = table.filter(pa.array(~keeps(table, decision)))
    rows = (
        {
            "id": row["document_id"],
            "url": row["url"],
            "stage": "quality",
            "reason": REASON,
            "value": f"{row['score']:.6g}",
            "threshold": _says(decision, row["language"]),
        }
        for row in dropped.to_pylist()
    )
    write_rows(workspace, path, rows, REJECT)


def keeps(table: pa.Table, decision: Decision) -> npt.NDArray[np.bool_]:
    """Which rows of a table of scores are kept."""
    found = table["score"].to_numpy()
    if not decision.filters:
        return np.ones(found.size, bool)
    languages, places = np.unique(table["language"].to_numpy(), return_inverse=True)
    bounds = np.array([decision.bound_of(str(language)) for language in languages])
    kept = found >= (bounds[places] if bounds.size else decision.threshold)
    if decision.cut_at is not None:
        ties = pa.array(sorted(decision.kept_ties), pa.string())
        chosen = pc.is_in(table["document_id"], value_set=ties).to_numpy()
        kept &= (found != np.float32(decision.cut_at)) | chosen
    return np.asarray(kept)


def _says(decision: Decision, language: str) -> str:
    bound = f"{decision.bound_of(language):.6g}"
    return bound if decision.cut_at is None else f"{bound}, of equal scores the first ids"


def _column(scores: Sequence[Path]) -> npt.NDArray[np.float32]:
    return np.asarray(read_columns(scores, ["score"])["score"].to_numpy())


def _ids_at(scores: Sequence[Path], cut: np.float32) -> list[str]:
    found = []
    for path in scores:
        table = read_columns([path], ["document_id", "score"])
        mask = pa.array(table["score"].to_numpy() == cut)
        found += table.filter(mask)["document_id"].to_pylist()
    return found
