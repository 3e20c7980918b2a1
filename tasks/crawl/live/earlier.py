"""What the crawl before knew: pages that need not be sent again, and which to ask about first.

Its page index is read into the catalogue's SQLite file once, so that a crawl that goes on after a
kill asks about the same pages. The crawl follows links as ever; only what a URL's body is worth
changes: a page of which the server says that it is as it was comes from the earlier WARC file.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from storage.errors import DamagedArtifact
from storage.warc import read_body, read_headers, read_member
from tasks.crawl.captures import FetchedPage
from tasks.crawl.catalogue import PAGE_COLUMNS, url_key
from tasks.crawl.earlier import EarlierCrawl

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS earlier (
    key INTEGER PRIMARY KEY, due REAL NOT NULL, {", ".join(PAGE_COLUMNS)});
"""
_BATCH = 10_000


class Earlier:
    """The pages of a crawl before, by URL."""

    def __init__(self, db: sqlite3.Connection, crawl: EarlierCrawl | None) -> None:
        self._db, self._crawl = db, crawl
        self._db.executescript(_SCHEMA)
        self._first_idle: tuple[float, int] | None = None

    def load(self, now: datetime, max_checks: int | None) -> None:
        """Read the page index, unless that was done, and choose which pages are asked about."""
        if self._crawl is None:
            return
        if self._db.execute("SELECT 1 FROM earlier LIMIT 1").fetchone() is None:
            self._db.execute("BEGIN")
            for page in _pages(self._crawl):
                marks = ", ".join("?" * (2 + len(PAGE_COLUMNS)))
                due = change_probability(page, int(now.timestamp() * 1000))
                values = (getattr(page, name) for name in PAGE_COLUMNS)
                self._db.execute(
                    f"INSERT OR REPLACE INTO earlier VALUES ({marks})",
                    (url_key(page.url), due, *values),
                )
            self._db.execute("COMMIT")
        if max_checks is not None:
            query = "SELECT due, key FROM earlier ORDER BY due DESC, key LIMIT 1 OFFSET ?"
            row = self._db.execute(query, (max_checks,)).fetchone()
            self._first_idle = None if row is None else (float(row[0]), int(row[1]))

    def page(self, url: str) -> FetchedPage | None:
        """What the earlier crawl has of a URL."""
        if self._crawl is None:
            return None
        key = url_key(url)
        query = f"SELECT {', '.join(PAGE_COLUMNS)} FROM earlier WHERE key = ?"
        row = self._db.execute(query, (key,)).fetchone()
        return None if row is None or row[0] != url else FetchedPage(*row)

    def is_idle(self, url: str) -> bool:
        """Whether a known page is not asked about this time: `max_checks` others come first."""
        if self._first_idle is None:
            return False
        key = url_key(url)
        (due,) = self._db.execute("SELECT due FROM earlier WHERE key = ?", (key,)).fetchone()
        return (-due, key) >= (-self._first_idle[0], self._first_idle[1])

    def member(self, page: FetchedPage) -> bytes | None:
        """The page's WARC record, packed, or None where it can no longer be read."""
        assert self._crawl is not None
        try:
            return read_member(self._file(page), page.warc_offset, page.warc_bytes)
        except (DamagedArtifact, OSError):
            return None

    def response(self, page: FetchedPage) -> tuple[list[tuple[str, str]], bytes] | None:
        """The headers and body of its response, or None where they can no longer be read whole."""
        try:
            headers = read_headers(self._file(page), page.warc_offset)
            body = read_body(self._file(page), page.warc_offset)
        except (DamagedArtifact, OSError):
            return None
        return (headers, body) if len(body) == page.num_bytes else None

    def _file(self, page: FetchedPage) -> Path:
        assert self._crawl is not None
        return self._crawl.warc / page.warc_file


def condition_of(page: FetchedPage) -> Mapping[str, str]:
    """The headers that ask for a page only if it has changed.

    Source: RFC 9110 §13.1
    """
    headers = {}
    if page.etag:
        headers["If-None-Match"] = page.etag
    if page.last_modified:
        headers["If-Modified-Since"] = page.last_modified
    return headers


def change_probability(page: FetchedPage, now_ms: int) -> float:
    """How likely a page has changed since it was last asked for, 0-1.

    Changes are taken to come as a Poisson process, and the checks to have been evenly apart: of n
    checks, x of which found a change, the rate per check is -log((n - x + 0.5) / (n + 0.5)). A page
    never asked for again counts as one that changes at every other check.

    Source: Cho and Garcia-Molina 2003, "Estimating frequency of change", §4
    """
    n, x = page.num_checks, page.num_changes
    rate = -math.log((n - x + 0.5) / (n + 0.5)) if n and x else math.log(2) / (n + 1)
    idle_days = max(now_ms - page.checked_at_ms, 0) / 86_400_000
    return 1.0 - math.exp(-rate * idle_days)


def checked(page: FetchedPage, at: datetime) -> FetchedPage:
    """The page after one more check that found it as it was."""
    moment = int(at.timestamp() * 1000)
    return replace(page, checked_at_ms=moment, num_checks=page.num_checks + 1)


def _pages(crawl: EarlierCrawl) -> Iterator[FetchedPage]:
    # 0.2 s of pyarrow, which a first crawl need not pay
    import pyarrow.parquet as pq

    from tasks.crawl.rewrite import SealedShard

    for pages, fetches in zip(crawl.pages, crawl.fetches, strict=True):
        if {"warc_bytes", "etag"} <= set(pq.read_schema(fetches).names):
            yield from SealedShard(pages, fetches)
