"""Sign shards, match documents, filter shards.

A document is dropped if its measured similarity to a *kept* document reaches the threshold; the
best document by the keep policy is looked at first. So every drop has one kept document that it
truly resembles, and clusters cannot drift by chaining (A like B, B like C, A unlike C), which made
half of the deletions wrong in unverified clusters (marin #6854, #7591).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from storage.parquet import read_table, write_rows, write_table
from storage.records import DUPLICATE
from storage.workspace import Workspace
from tasks.dedup.config import DedupConfig, KeepRule
from tasks.dedup.shingles import Shingled, jaccard

Row = dict[str, Any]

_ORDER: Mapping[KeepRule, Callable[[Row], Any]] = {
    "longest": lambda row: -row["num_words"],
    "least_repeated": lambda row: row["repeated_share"],
    "shortest_url": lambda row: len(row["url"]),
}


def sign_shard(documents: Path, config: DedupConfig, target: Path) -> None:
    """Write the candidate keys of one shard of documents: one list column for each method.

    The target lies in scratch; it is replaced as a whole, so a torn one cannot be read.
    """
    if target.exists():
        return
    table = pq.read_table(documents, columns=["document_id", "text"])
    shingled = [Shingled(text, config.shingle_words) for text in table["text"].to_pylist()]
    columns: dict[str, Any] = {"document_id": table["document_id"]}
    for method in config.methods:
        keys = method.prepare(config.threshold)
        columns[method.kind] = pa.array(
            [keys(document) for document in shingled], pa.list_(pa.uint64())
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_suffix(".tmp")
    pq.write_table(pa.table(columns), temporary)
    temporary.replace(target)


def match(
    documents: Sequence[Path],
    signatures: Sequence[Path],
    config: DedupConfig,
    workspace: Workspace,
    duplicates_path: str,
    advance: Callable[[], None] = lambda: None,
) -> None:
    """Decide which documents go, and write the evidence for each as `duplicates_path`."""
    if workspace.entry(duplicates_path):
        return
    rows: list[Row] = read_table(documents).to_pylist()
    keys = {row["document_id"]: row for row in read_table(signatures).to_pylist()}
    rows.sort(key=lambda row: (*(_ORDER[rule](row) for rule in config.keep), row["document_id"]))
    matcher = _Matcher(config)
    found = []
    for row in rows:
        duplicate = matcher.place(row, keys[row["document_id"]])
        if duplicate is not None:
            found.append(duplicate)
        advance()
    found.sort(key=lambda row: row["document_id"])
    write_rows(workspace, duplicates_path, found, DUPLICATE)


def filter_shard(documents: Path, duplicates: Path, workspace: Workspace, path: str) -> None:
    """Write one shard of documents without those that were matched away."""
    if workspace.entry(path):
        return
    dropped = pq.read_table(duplicates, columns=["document_id"])["document_id"]
    table = pq.read_table(documents)
    write_table(workspace, path, table.filter(pc.invert(pc.is_in(table["document_id"], dropped))))


@dataclass(frozen=True)
class _Kept:
    row: Row
    shingled: Shingled


class _Matcher:
    """Holds the kept documents by the keys under which a later one could meet them."""

    def __init__(self, config: DedupConfig) -> None:
        self._config = config
        self._buckets: dict[tuple[str, int], list[_Kept]] = defaultdict(list)

    def place(self, row: Row, keys: Row) -> Row | None:
        """Keep the document (None), or say which kept one it duplicates."""
        kept = _Kept(row, Shingled(row["text"], self._config.shingle_words))
        own_keys = [(m.kind, key) for m in self._config.methods for key in keys[m.kind]]
        best = self._best(kept, self._candidates(own_keys))
        if best is None:
            for key in own_keys:
                self._buckets[key].append(kept)
        return best

    def _candidates(self, own_keys: Sequence[tuple[str, int]]) -> dict[str, tuple[str, _Kept]]:
        """The kept documents that share a key, each with the first method that found it."""
        found: dict[str, tuple[str, _Kept]] = {}
        for method, key in own_keys:
            for other in self._buckets.get((method, key), ()):
                found.setdefault(other.row["document_id"], (method, other))
        return found

    def _best(self, kept: _Kept, candidates: dict[str, tuple[str, _Kept]]) -> Row | None:
        """Evidence for the most similar candidate over the threshold, ties by id."""
        measured = [
            (-jaccard(kept.shingled.hashes, other.shingled.hashes), identity, method, other)
            for identity, (method, other) in candidates.items()
        ]
        if not measured:
            return None
        negative, identity, method, other = min(measured, key=lambda item: item[:2])
        if -negative < self._config.threshold:
            return None
        return {
            "document_id": kept.row["document_id"],
            "url": kept.row["url"],
            "kept_id": identity,
            "kept_url": other.row["url"],
            "similarity": -negative,
            "method": method,
        }
