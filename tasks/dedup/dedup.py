"""Sign shards, match documents, filter shards.

A document is dropped if its measured similarity to a *kept* document reaches the threshold; the
best document by the keep policy is looked at first. So every drop has one kept document that it
truly resembles, and clusters cannot drift by chaining (A like B, B like C, A unlike C), which made
half of the deletions wrong in unverified clusters (marin #6854, #7591).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from storage.parquet import read_tables, write_rows, write_table
from storage.records import DUPLICATE
from storage.workspace import Workspace
from tasks.dedup.config import DedupConfig, KeepRule
from tasks.dedup.matcher import Found, Matcher, Signed
from tasks.dedup.selection import DocumentShard
from tasks.dedup.shingles import Shingled

Row = dict[str, Any]
_HASHES = "hashes"
_RANKED = ("document_id", "url", "num_words", "repeated_share")

_ORDER: Mapping[KeepRule, Callable[[Row], Any]] = {
    "longest": lambda row: -row["num_words"],
    "least_repeated": lambda row: row["repeated_share"],
    "shortest_url": lambda row: len(row["url"]),
}


def sign_shard(documents: DocumentShard, config: DedupConfig, target: Path) -> None:
    """Write the shingles of one shard of documents and, for each method, their candidate keys.

    The target lies in scratch; it is replaced as a whole, so a torn one cannot be read.
    """
    if target.exists():
        return
    table = documents.read(("document_id", "text"))
    keys_type = pa.list_(pa.uint64())
    shingled = [Shingled(text, config.shingle_words) for text in table["text"].to_pylist()]
    columns: dict[str, Any] = {
        "document_id": table["document_id"],
        _HASHES: pa.array([document.hashes for document in shingled], keys_type),
    }
    for method in config.methods:
        keys = method.prepare(config.threshold)
        columns[method.kind] = pa.array([keys(document) for document in shingled], keys_type)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_suffix(".tmp")
    pq.write_table(pa.table(columns), temporary)
    temporary.replace(target)


def match(
    documents: Sequence[DocumentShard],
    signatures: Sequence[Path],
    config: DedupConfig,
    workspace: Workspace,
    duplicates_path: str,
    advance: Callable[[], None] = lambda: None,
) -> None:
    """Decide which documents go, and write the evidence for each as `duplicates_path`."""
    if workspace.entry(duplicates_path):
        return
    rows: list[Row] = pa.concat_tables(shard.read(_RANKED) for shard in documents).to_pylist()
    rows.sort(key=lambda row: (*(_ORDER[rule](row) for rule in config.keep), row["document_id"]))
    signed = _read_signatures(signatures, {row["document_id"]: row["url"] for row in rows})
    matcher = Matcher(list(signed.values()), config)
    duplicates = []
    for row in rows:
        document = signed[row["document_id"]]
        found = matcher.place(document)
        if found is not None:
            duplicates.append(_evidence(document, found))
        advance()
    duplicates.sort(key=lambda row: row["document_id"])
    write_rows(workspace, duplicates_path, duplicates, DUPLICATE)


def _read_signatures(paths: Sequence[Path], urls: Mapping[str, str]) -> dict[str, Signed]:
    signed = {}
    for table in read_tables(paths):
        hashes = (of_one.values.to_numpy() for of_one in table[_HASHES])
        for row in table.drop_columns([_HASHES]).to_pylist():
            identity = row.pop("document_id")
            keys = {method: frozenset(of_one) for method, of_one in row.items()}
            signed[identity] = Signed(identity, urls[identity], keys, next(hashes))
    return signed


def _evidence(document: Signed, found: Found) -> Row:
    return {
        "document_id": document.document_id,
        "url": document.url,
        "kept_id": found.kept.document_id,
        "kept_url": found.kept.url,
        "similarity": found.similarity,
        "method": found.method,
    }


def most_copies(duplicates: Path) -> int:
    """How many documents were dropped for one and the same kept document, at most."""
    kept = pq.read_table(duplicates, columns=["kept_id"])["kept_id"]
    return int(pc.max(pc.value_counts(kept).field("counts")).as_py() or 0)


def filter_shard(
    documents: DocumentShard, duplicates: Path, workspace: Workspace, path: str
) -> None:
    """Write one shard of documents without those that were matched away."""
    if workspace.entry(path):
        return
    dropped = pq.read_table(duplicates, columns=["document_id"])["document_id"]
    table = documents.read()
    write_table(workspace, path, table.filter(pc.invert(pc.is_in(table["document_id"], dropped))))
