"""From the frontier to the artifact: WARC files, page index, fetch log, rejects."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import xxhash

from storage.parquet import shard_name, write_rows
from storage.records import FETCH, PAGE, REJECT
from storage.takedown import NOTHING, Forgotten
from storage.workspace import Workspace
from tasks.crawl.crawler import WARC_FILE
from tasks.crawl.frontier import FetchedPage, Frontier, RejectedUrl


def write_index(
    workspace: Workspace, num_shards: int, forgotten: Forgotten = NOTHING
) -> dict[str, Any]:
    """Write the artifact's files from the finished crawl in the workspace; return its counts.

    A page's shard follows from its URL, so a page that changes stays in the same file.
    """
    frontier = Frontier(workspace.scratch / "frontier.sqlite")
    try:
        pages, rejects = list(frontier.pages()), list(frontier.rejects())
    finally:
        frontier.close()
    warc = workspace.scratch / "warc" / WARC_FILE
    # Copied, not linked: a crawl that is resumed after a kill appends to the file in scratch.
    with (
        workspace.writing(f"warc/{WARC_FILE}", volatile=True) as stream,
        warc.open("rb") as crawled,
    ):
        shutil.copyfileobj(crawled, stream, 1 << 20)
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
