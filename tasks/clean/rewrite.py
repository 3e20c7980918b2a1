"""One shard of documents without those whose page left the crawl: as a new cleaning gives them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc

from storage.parquet import read_table, strings, write_rows, write_table
from storage.records import DOCUMENT, ORIGIN, REJECT
from storage.takedown import Forgotten
from storage.workspace import Workspace
from tasks.clean.clean import CleanPaths, Row, reject_forgotten


@dataclass(frozen=True)
class CleanedShard:
    """Where the tables of one shard lie; one that had no row is no file."""

    documents: Path | None
    origins: Path | None
    rejects: Path | None
    signals: Path | None


def rewrite_shard(
    shard: CleanedShard,
    urls: Collection[str],
    forgotten: Forgotten,
    workspace: Workspace,
    paths: CleanPaths,
) -> None:
    """Write the rows that come from `urls`; what is `forgotten` among them are rejects.

    A URL is one page of a crawl, and a page one document or one reject: the URL tells them apart.
    """
    documents, kept, rejects = _read(shard.documents), list[Row](), list[Row]()
    for row in (row for row in documents if row["url"] in urls):
        rule = forgotten.covers(row["url"], row["document_id"])
        if rule is None:
            kept.append(row)
        else:
            rejects.append(reject_forgotten(row["document_id"], row["url"], rule))
    for row in (row for row in _read(shard.rejects) if row["url"] in urls):
        rule = forgotten.covers(row["url"], row["id"])
        rejects.append(row if rule is None else reject_forgotten(row["id"], row["url"], rule))
    kept_ids = {row["document_id"] for row in kept}
    origins = [row for row in _read(shard.origins) if row["document_id"] in kept_ids]
    told = kept_ids | {row["id"] for row in rejects if row["reason"] != "forgotten"}
    rejects.sort(key=lambda row: (row["id"], row["url"]))
    write_rows(workspace, paths.documents, kept, DOCUMENT)
    write_rows(workspace, paths.origins, origins, ORIGIN, volatile=True)
    write_rows(workspace, paths.rejects, rejects, REJECT, volatile=True)
    if shard.signals is not None:
        signals = read_table([shard.signals])
        signals = signals.filter(pc.is_in(signals["id"], value_set=strings(told)))
        write_table(workspace, paths.signals, signals, volatile=True)


def _read(path: Path | None) -> list[Row]:
    return [] if path is None else list(read_table([path]).to_pylist())
