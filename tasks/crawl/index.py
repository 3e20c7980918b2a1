"""From the catalogue to the artifact: WARC files, page index, fetch log, hosts, rejects.

Everything goes shard by shard and segment by segment: a crawl of millions of pages is indexed in
the memory of one shard.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any

import pyarrow as pa

from storage.parquet import shard_name, write_rows
from storage.records import FETCH, HOST, PAGE, REJECT
from storage.takedown import NOTHING, Forgotten
from storage.workspace import Workspace
from tasks.crawl.captures import RejectedUrl, reject_forgotten
from tasks.crawl.catalogue import HOST_COLUMNS, WARC_FOLDER, Catalogue, FetchedPage
from tasks.crawl.rewrite import Rule, copy_segment, copy_whole
from tasks.crawl.urls import host_of

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
        hosts = host_rows(catalogue, chain.from_iterable(shards))
        crawled = Crawled(shards, catalogue.rejects(), catalogue.segments(), hosts)
        return write_crawl(workspace, crawled, lambda page: forgotten.covers(page.url))


def host_rows(catalogue: Catalogue, pages: Iterable[FetchedPage]) -> list[Row]:
    """Return the rows of `records.HOST`, by host; none for a collection that asked no host.

    Pages that were fetched before the crawl began are an earlier crawl's, unchanged.
    """
    asked, begun_ms = catalogue.hosts(), catalogue.begun_ms()
    if not asked:
        return []
    kept: dict[str, Row] = defaultdict(lambda: {"pages": 0, "page_bytes": 0, "unchanged": 0})
    for page in pages:
        row = kept[host_of(page.url)]
        row["pages"] += 1
        row["page_bytes"] += page.num_bytes
        row["unchanged"] += page.fetched_at_ms < begun_ms
    nothing: Row = dict.fromkeys(HOST_COLUMNS, 0) | {"delay_s": 0.0, "robots": "not asked"}
    names = sorted(asked.keys() | kept.keys())
    return [{"host": name, **nothing, **asked.get(name, {}), **kept[name]} for name in names]


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
    dropped: dict[str, FetchedPage] = {}
    gone = []
    for page in chain.from_iterable(crawled.shards):
        if (why := rule(page)) is not None:
            dropped[page.page_id] = page
            gone.append(reject_forgotten(page.url, why))
    offsets = _write_segments(workspace, crawled, dropped)
    num_pages, num_bytes = 0, 0
    for index, shard in enumerate(crawled.shards):
        pages = [
            replace(page, warc_offset=offsets.get(page.page_id, page.warc_offset))
            for page in shard
            if page.page_id not in dropped
        ]
        name = shard_name("pages", index, len(crawled.shards))
        write_rows(workspace, name, _rows(pages, PAGE), PAGE)
        name = shard_name("fetches", index, len(crawled.shards))
        write_rows(workspace, name, _rows(pages, FETCH), FETCH, volatile=True)
        num_pages += len(pages)
        num_bytes += sum(page.num_bytes for page in pages)
    reasons: Counter[str] = Counter()
    by_url = attrgetter("url")
    rejects = heapq.merge(crawled.rejects, sorted(gone, key=by_url), key=by_url)
    write_rows(workspace, "rejects.parquet", _rejects(rejects, reasons), REJECT, volatile=True)
    if crawled.hosts:
        write_rows(workspace, "hosts.parquet", crawled.hosts, HOST, volatile=True)
    return {
        "rows_in": num_pages + reasons.total(),
        "rows_out": num_pages,
        "rejected": dict(sorted(reasons.items())),
        "html_bytes": num_bytes,
    } | _hosts_shown(crawled.hosts)


def _write_segments(
    workspace: Workspace, crawled: Crawled, dropped: Mapping[str, FetchedPage]
) -> Mapping[str, int]:
    """Copy the segments, without what is dropped; return the new offsets, by page id.

    Copied, not linked: a crawl that is resumed after a kill appends to the file in scratch.
    """
    offsets: dict[str, int] = {}
    altered = {page.warc_file for page in dropped.values()}
    for segment in crawled.segments:
        path = f"{WARC_FOLDER}/{segment.name}"
        if segment.name in altered:
            pages = chain.from_iterable(crawled.shards)
            records = [page for page in pages if page.warc_file == segment.name]
            offsets |= copy_segment(workspace, path, segment, records, dropped)
        else:
            copy_whole(workspace, path, segment)
    return offsets


def _hosts_shown(hosts: Sequence[Row]) -> dict[str, Any]:
    """Pick the hosts of most pages, for the run's page; hosts.parquet has all."""
    if not hosts:
        return {}
    ranked = sorted(hosts, key=lambda row: (-row["pages"], row["host"]))
    totals = {
        name: sum(row[name] for row in hosts) for name in ("unchanged", "waiting", "requests")
    }
    return {"num_hosts": len(hosts), **totals, "hosts": ranked[:_SHOWN_HOSTS]}


def _rows(pages: Iterable[FetchedPage], schema: pa.Schema) -> Iterator[Row]:
    return ({name: getattr(page, name) for name in schema.names} for page in pages)


def _rejects(rejects: Iterable[RejectedUrl], reasons: Counter[str]) -> Iterator[Row]:
    """Yield the rows of the rejects, and count them on the way."""
    names = ("url", "reason", "value", "threshold")
    for reject in rejects:
        reasons[reject.reason] += 1
        row = {name: getattr(reject, name) for name in names}
        yield {"id": reject.url, "stage": "crawl", **row}
