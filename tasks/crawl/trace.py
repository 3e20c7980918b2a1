"""What a crawl knows of a URL: when it was fetched and where it lies, or why it was not."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from storage.parquet import find_rows, read_columns
from tasks.crawl.urls import canonical_url
from tasks.rejects import Rejected, find_rejects

REDIRECTED = "redirected"


@dataclass(frozen=True)
class FetchedPage:
    """One page and its fetch, as `records.PAGE` and `records.FETCH` describe them."""

    url: str
    page_id: str
    content_type: str
    num_bytes: int
    fetched_at: datetime
    status: int
    depth: int
    robots: str
    warc_file: str
    warc_offset: int


@dataclass(frozen=True)
class CrawlTrace:
    """What one crawl made of some URLs."""

    pages: tuple[FetchedPage, ...]
    rejected: tuple[Rejected, ...]

    def __bool__(self) -> bool:
        return bool(self.pages or self.rejected)


def trace_urls(
    pages: Sequence[Path], fetches: Sequence[Path], rejects: Sequence[Path], urls: Collection[str]
) -> CrawlTrace:
    """The pages and rejects of these canonical URLs."""
    found = find_rows(pages, "url", urls, ("page_id", "url", "content_type", "num_bytes"))
    by_id = {row["page_id"]: row for row in found}
    columns = ("page_id", "fetched_at", "status", "depth", "robots", "warc_file", "warc_offset")
    fetched = find_rows(fetches, "page_id", by_id, columns) if by_id else []
    for row in fetched:
        row["fetched_at"] = datetime.fromtimestamp(row["fetched_at"] / 1000, UTC)
    return CrawlTrace(
        tuple(FetchedPage(**by_id[row["page_id"]] | row) for row in fetched),
        find_rejects(rejects, "url", urls),
    )


def page_charset(pages: Sequence[Path], url: str) -> str:
    """The charset that the server named for the page at a URL that the crawl has; or empty."""
    (row,) = find_rows(pages, "url", {url}, ("charset",))
    return str(row["charset"])


def redirect_targets(rejects: Sequence[Path], urls: Collection[str]) -> list[str]:
    """Where these URLs were redirected to, as canonical URLs."""
    targets = []
    for reject in find_rejects(rejects, "url", urls):
        if reject.reason == REDIRECTED:
            try:
                targets.append(canonical_url(reject.value, reject.url))
            except ValueError:
                continue  # a Location that no one can follow
    return targets


def known_urls(pages: Sequence[Path], rejects: Sequence[Path]) -> list[str]:
    """Every URL that the crawl has a word about."""
    names: list[str] = read_columns([*pages, *rejects], ["url"])["url"].to_pylist()
    return names
