"""Documents without those whose page left the crawl: the bytes that a new cleaning gives."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc

from storage.manifest import Manifest
from storage.parquet import read_columns, read_table, shard_name, strings, write_rows, write_table
from storage.records import DOCUMENT, ORIGIN, REJECT
from storage.takedown import Forgotten
from storage.workspace import Workspace
from tasks.artifacts.pages import PAGES
from tasks.clean.clean import (
    TABLES,
    CleanPaths,
    Row,
    count_reasons,
    describe,
    reject_forgotten,
)
from tasks.stage import Outcome, Rewriting, count_rows


def rewrite(job: Rewriting) -> Outcome:
    """Write the documents whose pages are still in the crawl."""
    crawl, workspace = job.inputs["pages"], job.workspace
    urls = set(read_columns(crawl.files("pages/"), ["url"])["url"].to_pylist())
    for shard, target in _shards(job.old.input(PAGES).manifest, crawl.manifest):
        tables = (job.old.files(f"{table}{shard}") for table in TABLES)
        source = CleanedShard(*(paths[0] if paths else None for paths in tables))
        rewrite_shard(source, urls, job.forgotten, workspace, target)
    documents, rejects = (
        sorted((workspace.data / folder).glob("part-*.parquet"))
        for folder in ("documents", "rejects")
    )
    facts = {"dropped": count_reasons(rejects), **describe(documents)}
    return Outcome(len(urls), count_rows(documents), facts)


def _shards(before: Manifest, after: Manifest) -> list[tuple[str, CleanPaths]]:
    """Name the files of a cleaning of `before`, and what cleaning `after` calls them.

    A cleaning numbers the page files that are there; one without a page is not.
    """
    old, new = ([e.path for e in m.files if e.path.startswith("pages/")] for m in (before, after))
    return [
        (shard_name("", old.index(path), len(old)), CleanPaths.of(index, len(new)))
        for index, path in enumerate(new)
    ]


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
