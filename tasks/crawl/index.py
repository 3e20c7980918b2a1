"""From the frontier to the artifact: WARC files, page index, fetch log, rejects."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import xxhash

from storage.parquet import shard_name, write_rows
from storage.records import FETCH, PAGE, REJECT
from storage.takedown import NOTHING, Forgotten
from storage.workspace import Workspace
from tasks.crawl.crawler import WARC_FILE
from tasks.crawl.frontier import FetchedPage, Frontier, RejectedUrl
from tasks.crawl.rewrite import Rule, leave_out, write_warc


def write_index(
    workspace: Workspace, num_shards: int, forgotten: Forgotten = NOTHING
) -> dict[str, Any]:
    """Write the artifact's files from the finished crawl in the workspace; return its counts.

    A page's shard follows from its URL, so a page that changes stays in the same file. Pages that
    were fetched before they were `forgotten` are rejects, and not in the WARC file.
    """
    frontier = Frontier(workspace.scratch / "frontier.sqlite")
    try:
        pages, rejects = list(frontier.pages()), list(frontier.rejects())
    finally:
        frontier.close()
    crawled = Crawled(pages, rejects, workspace.scratch / "warc" / WARC_FILE)
    return write_crawl(workspace, num_shards, crawled, lambda page: forgotten.covers(page.url))


@dataclass(frozen=True)
class Crawled:
    """All that was fetched, by page id, and refused, by URL, and the segment that holds it."""

    pages: Sequence[FetchedPage]
    rejects: Sequence[RejectedUrl]
    warc: Path


def write_crawl(
    workspace: Workspace, num_shards: int, crawled: Crawled, rule: Rule
) -> dict[str, Any]:
    """Write the artifact's files without the pages that `rule` leaves out; return their counts."""
    pages, rejects = leave_out(crawled.pages, crawled.rejects, rule)
    path = f"warc/{WARC_FILE}"
    if len(pages) == len(crawled.pages):
        # Copied, not linked: a crawl that is resumed after a kill appends to the file in scratch.
        with workspace.writing(path, volatile=True) as stream, crawled.warc.open("rb") as file:
            shutil.copyfileobj(file, stream, 1 << 20)
    else:
        kept = {page.page_id for page in pages}
        offsets = write_warc(workspace, path, crawled.warc, crawled.pages, kept)
        pages = [replace(page, warc_offset=offsets[page.page_id]) for page in pages]
    for index in range(num_shards):
        shard = [p for p in pages if xxhash.xxh3_64_intdigest(p.url.encode()) % num_shards == index]
        write_rows(workspace, shard_name("pages", index, num_shards), _pages(shard), PAGE)
        name = shard_name("fetches", index, num_shards)
        write_rows(workspace, name, _fetches(shard), FETCH, volatile=True)
    write_rows(workspace, "rejects.parquet", _rejects(rejects), REJECT, volatile=True)
    return {
        "rows_in": len(pages) + len(rejects),
        "rows_out": len(pages),
        "rejected": dict(sorted(Counter(r.reason for r in rejects).items())),
        "html_bytes": sum(p.num_bytes for p in pages),
    }


def _pages(pages: Iterable[FetchedPage]) -> list[dict[str, Any]]:
    return [{name: getattr(page, name) for name in PAGE.names} for page in pages]


def _fetches(pages: Iterable[FetchedPage]) -> list[dict[str, Any]]:
    copied = [name for name in FETCH.names if name != "fetched_at"]
    return [
        {name: getattr(page, name) for name in copied}
        | {"fetched_at": datetime.fromtimestamp(page.fetched_at_ms / 1000, UTC)}
        for page in pages
    ]


def _rejects(rejects: Iterable[RejectedUrl]) -> list[dict[str, Any]]:
    return [
        {
            "id": reject.url,
            "url": reject.url,
            "stage": "crawl",
            "reason": reject.reason,
            "value": reject.value,
            "threshold": reject.threshold,
        }
        for reject in rejects
    ]
