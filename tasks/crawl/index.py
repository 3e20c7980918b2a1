"""From the catalogue to the artifact: WARC files, page index, fetch log, hosts, rejects."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import xxhash

from storage.parquet import shard_name, write_rows
from storage.records import FETCH, HOST, PAGE, REJECT
from storage.takedown import NOTHING, Forgotten
from storage.workspace import Workspace
from tasks.crawl.captures import FetchedPage, RejectedUrl
from tasks.crawl.catalogue import WARC_FOLDER, Catalogue
from tasks.crawl.hosts import host_rows
from tasks.crawl.rewrite import Rule, copy_segment, leave_out

Row = dict[str, Any]
_SHOWN_HOSTS = 20


def write_index(
    workspace: Workspace, num_shards: int, forgotten: Forgotten = NOTHING
) -> dict[str, Any]:
    """Write the artifact's files from the finished collection in the workspace; return its counts.

    A page's shard follows from its URL, so a page that changes stays in the same file. Pages that
    were fetched before they were `forgotten` are rejects, and not in the WARC files.
    """
    with Catalogue(workspace.scratch) as catalogue:
        pages, rejects = list(catalogue.pages()), list(catalogue.rejects())
        hosts = host_rows(catalogue.db, pages)
        crawled = Crawled(pages, rejects, catalogue.segments(), hosts)
    return write_crawl(workspace, num_shards, crawled, lambda page: forgotten.covers(page.url))


@dataclass(frozen=True)
class Crawled:
    """All that was fetched, by page id, and refused, by URL, and the segments that hold it."""

    pages: Sequence[FetchedPage]
    rejects: Sequence[RejectedUrl]
    segments: Sequence[Path]
    hosts: Sequence[Row] = ()


def write_crawl(
    workspace: Workspace, num_shards: int, crawled: Crawled, rule: Rule
) -> dict[str, Any]:
    """Write the artifact's files without the pages that `rule` leaves out; return their counts."""
    pages, rejects = leave_out(crawled.pages, crawled.rejects, rule)
    offsets = _write_segments(workspace, crawled, {page.page_id for page in pages})
    pages = [replace(page, warc_offset=offsets[page.page_id]) for page in pages]
    shards: dict[int, list[FetchedPage]] = defaultdict(list)
    for page in pages:
        shards[xxhash.xxh3_64_intdigest(page.url.encode()) % num_shards].append(page)
    for index in range(num_shards):
        write_rows(workspace, shard_name("pages", index, num_shards), _pages(shards[index]), PAGE)
        name = shard_name("fetches", index, num_shards)
        write_rows(workspace, name, _fetches(shards[index]), FETCH, volatile=True)
    write_rows(workspace, "rejects.parquet", _rejects(rejects), REJECT, volatile=True)
    if crawled.hosts:
        write_rows(workspace, "hosts.parquet", crawled.hosts, HOST, volatile=True)
    return {
        "rows_in": len(pages) + len(rejects),
        "rows_out": len(pages),
        "rejected": dict(sorted(Counter(r.reason for r in rejects).items())),
        "html_bytes": sum(p.num_bytes for p in pages),
    } | _hosts_shown(crawled.hosts)


def _write_segments(workspace: Workspace, crawled: Crawled, kept: set[str]) -> Mapping[str, int]:
    """Copied, not linked: a crawl that is resumed after a kill appends to the file in scratch."""
    held: dict[str, list[FetchedPage]] = defaultdict(list)
    for page in crawled.pages:
        held[page.warc_file].append(page)
    offsets: dict[str, int] = {}
    for segment in crawled.segments:
        path = f"{WARC_FOLDER}/{segment.name}"
        offsets |= copy_segment(workspace, path, segment, held[segment.name], kept)
    return offsets


def _hosts_shown(hosts: Sequence[Row]) -> dict[str, Any]:
    """The hosts of most pages, for the run's page; hosts.parquet has all."""
    if not hosts:
        return {}
    ranked = sorted(hosts, key=lambda row: (-row["pages"], row["host"]))
    totals = {
        name: sum(row[name] for row in hosts) for name in ("unchanged", "waiting", "requests")
    }
    return {"num_hosts": len(hosts), **totals, "hosts": ranked[:_SHOWN_HOSTS]}


def _pages(pages: Iterable[FetchedPage]) -> list[Row]:
    return [{name: getattr(page, name) for name in PAGE.names} for page in pages]


def _fetches(pages: Iterable[FetchedPage]) -> list[Row]:
    moments = {"fetched_at", "checked_at"}
    copied = [name for name in FETCH.names if name not in moments]
    return [
        {name: getattr(page, name) for name in copied}
        | {name: _moment(getattr(page, f"{name}_ms")) for name in moments}
        for page in pages
    ]


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _rejects(rejects: Iterable[RejectedUrl]) -> list[Row]:
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
