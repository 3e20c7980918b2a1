"""From the catalogue to the artifact: WARC files, page index, fetch log, hosts, rejects.

Everything goes shard by shard and segment by segment: a crawl of millions of pages is indexed in
the memory of one shard.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

from storage.parquet import shard_name, write_rows
from storage.records import FETCH, HOST, PAGE, REJECT
from storage.takedown import NOTHING, Forgotten
from storage.workspace import Workspace
from tasks.crawl.captures import FetchedPage, RejectedUrl, reject_forgotten
from tasks.crawl.catalogue import WARC_FOLDER, Catalogue
from tasks.crawl.hosts import host_rows
from tasks.crawl.rewrite import Rule, copy_segment, copy_whole

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
        shards = catalogue.shards(num_shards)
        hosts = host_rows(catalogue.db, chain.from_iterable(shards))
        crawled = Crawled(shards, catalogue.rejects(), catalogue.segments(), hosts)
        return write_crawl(workspace, crawled, lambda page: forgotten.covers(page.url))


@dataclass(frozen=True)
class Crawled:
    """All that was fetched and refused, and the segments that hold it."""

    shards: Sequence[Iterable[FetchedPage]]
    """The pages of each shard, by page id. They are gone through more than once."""
    rejects: Iterable[RejectedUrl]
    """By URL."""
    segments: Sequence[Path]
    hosts: Sequence[Row] = ()


def write_crawl(workspace: Workspace, crawled: Crawled, rule: Rule) -> dict[str, Any]:
    """Write the artifact's files without the pages that `rule` leaves out; return their counts.

    Those pages become rejects.
    """
    dropped = _dropped(crawled, rule)
    offsets = _write_segments(workspace, crawled, dropped)
    num_pages, num_bytes = 0, 0
    for index, shard in enumerate(crawled.shards):
        pages = [
            replace(page, warc_offset=offsets.get(page.page_id, page.warc_offset))
            for page in shard
            if page.page_id not in dropped.rejects
        ]
        name = shard_name("pages", index, len(crawled.shards))
        write_rows(workspace, name, _pages(pages), PAGE)
        name = shard_name("fetches", index, len(crawled.shards))
        write_rows(workspace, name, _fetches(pages), FETCH, volatile=True)
        num_pages += len(pages)
        num_bytes += sum(page.num_bytes for page in pages)
    gone = sorted(dropped.rejects.values(), key=_url)
    reasons: Counter[str] = Counter()
    rejects = _rejects(heapq.merge(crawled.rejects, gone, key=_url), reasons)
    write_rows(workspace, "rejects.parquet", rejects, REJECT, volatile=True)
    if crawled.hosts:
        write_rows(workspace, "hosts.parquet", crawled.hosts, HOST, volatile=True)
    return {
        "rows_in": num_pages + reasons.total(),
        "rows_out": num_pages,
        "rejected": dict(sorted(reasons.items())),
        "html_bytes": num_bytes,
    } | _hosts_shown(crawled.hosts)


@dataclass(frozen=True)
class _Dropped:
    """What a rule leaves out."""

    rejects: Mapping[str, RejectedUrl]
    """By page id."""
    segments: frozenset[str]
    """Names of those that hold some of it."""


def _dropped(crawled: Crawled, rule: Rule) -> _Dropped:
    rejects: dict[str, RejectedUrl] = {}
    segments = set()
    for page in chain.from_iterable(crawled.shards):
        found = rule(page)
        if found is not None:
            rejects[page.page_id] = reject_forgotten(page.url, found)
            segments.add(page.warc_file)
    return _Dropped(rejects, frozenset(segments))


def _write_segments(workspace: Workspace, crawled: Crawled, dropped: _Dropped) -> Mapping[str, int]:
    """Copied, not linked: a crawl that is resumed after a kill appends to the file in scratch.

    Returns the offsets of the pages that lie elsewhere than before.
    """
    offsets: dict[str, int] = {}
    for segment in crawled.segments:
        path = f"{WARC_FOLDER}/{segment.name}"
        if segment.name not in dropped.segments:
            copy_whole(workspace, path, segment)
            continue
        records = [
            page for page in chain.from_iterable(crawled.shards) if page.warc_file == segment.name
        ]
        offsets |= copy_segment(workspace, path, segment, records, dropped.rejects)
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


def _pages(pages: Iterable[FetchedPage]) -> Iterator[Row]:
    return ({name: getattr(page, name) for name in PAGE.names} for page in pages)


def _fetches(pages: Iterable[FetchedPage]) -> Iterator[Row]:
    moments = {"fetched_at", "checked_at"}
    copied = [name for name in FETCH.names if name not in moments]
    return (
        {name: getattr(page, name) for name in copied}
        | {name: _moment(getattr(page, f"{name}_ms")) for name in moments}
        for page in pages
    )


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _url(reject: RejectedUrl) -> str:
    return reject.url


def _rejects(rejects: Iterable[RejectedUrl], reasons: Counter[str]) -> Iterator[Row]:
    """The rows of the rejects, which are counted on the way."""
    for reject in rejects:
        reasons[reject.reason] += 1
        yield {
            "id": reject.url,
            "url": reject.url,
            "stage": "crawl",
            "reason": reject.reason,
            "value": reject.value,
            "threshold": reject.threshold,
        }
