"""What the crawl before knew: pages that need not be sent again, and which to ask about first.

Its page index is read into the catalogue's SQLite file once, so that a crawl that goes on after a
kill asks about the same pages. The crawl follows links as ever; only what a URL's body is worth
changes: a page of which the server says that it is as it was comes from the earlier WARC file.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from storage.errors import DamagedArtifact
from storage.warc import read_body, read_headers, read_member
from tasks.crawl.catalogue import PAGE_COLUMNS, FetchedPage, url_key

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS earlier (
    key INTEGER PRIMARY KEY, due REAL NOT NULL, {", ".join(PAGE_COLUMNS)});
"""


@dataclass(frozen=True)
class PreviousCrawl:
    """The files of a sealed crawl; `warc` is the folder of its WARC files."""

    label: str
    pages: Sequence[Path]
    fetches: Sequence[Path]
    warc: Path


class PreviousPages:
    """The pages of the crawl before, by URL; without one there is none."""

    def __init__(self, db: sqlite3.Connection, crawl: PreviousCrawl | None) -> None:
        self._db, self._crawl = db, crawl
        self._db.executescript(_SCHEMA)
        self._first_idle: tuple[float, int] | None = None

    def load(self, now: datetime, max_checks: int | None) -> None:
        """Read the page index, unless that was done, and choose which pages are asked about."""
        if self._crawl is None:
            return
        if self._db.execute("SELECT 1 FROM earlier LIMIT 1").fetchone() is None:
            self._db.execute("BEGIN")
            self._read_index(self._crawl, int(now.timestamp() * 1000))
            self._db.execute("COMMIT")
        if max_checks is not None:
            query = "SELECT due, key FROM earlier ORDER BY due DESC, key LIMIT 1 OFFSET ?"
            row = self._db.execute(query, (max_checks,)).fetchone()
            self._first_idle = None if row is None else (float(row[0]), int(row[1]))

    def _read_index(self, crawl: PreviousCrawl, now_ms: int) -> None:
        # 0.2 s of pyarrow, which a first crawl need not pay
        import pyarrow.parquet as pq

        from tasks.crawl.rewrite import SealedShard

        marks = ", ".join("?" * (2 + len(PAGE_COLUMNS)))
        for pages, fetches in zip(crawl.pages, crawl.fetches, strict=True):
            if not {"warc_bytes", "etag"} <= set(pq.read_schema(fetches).names):
                continue
            for page in SealedShard(pages, fetches):
                values = (getattr(page, name) for name in PAGE_COLUMNS)
                self._db.execute(
                    f"INSERT OR REPLACE INTO earlier VALUES ({marks})",
                    (url_key(page.url), change_probability(page, now_ms), *values),
                )

    def page(self, url: str) -> FetchedPage | None:
        """Find what the earlier crawl has of a URL."""
        if self._crawl is None:
            return None
        query = f"SELECT {', '.join(PAGE_COLUMNS)} FROM earlier WHERE key = ?"
        row = self._db.execute(query, (url_key(url),)).fetchone()
        return None if row is None or row[0] != url else FetchedPage(*row)

    def is_idle(self, url: str) -> bool:
        """Whether a known page is not asked about this time: `max_checks` others come first."""
        if self._first_idle is None:
            return False
        key = url_key(url)
        (due,) = self._db.execute("SELECT due FROM earlier WHERE key = ?", (key,)).fetchone()
        return (-due, key) >= (-self._first_idle[0], self._first_idle[1])

    def member(self, page: FetchedPage) -> bytes | None:
        """Read the page's WARC record, packed; None where it can no longer be read."""
        try:
            return read_member(self._file(page), page.warc_offset, page.warc_bytes)
        except (DamagedArtifact, OSError):
            return None

    def response(self, page: FetchedPage) -> tuple[list[tuple[str, str]], bytes] | None:
        """Read the headers and body of its response; None where they are no longer whole."""
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
    """Return the headers that ask for a page only if it has changed.

    Source: RFC 9110 §13.1
    """
    told = {"If-None-Match": page.etag, "If-Modified-Since": page.last_modified}
    return {name: value for name, value in told.items() if value}


def change_probability(page: FetchedPage, now_ms: int) -> float:
    """Estimate how likely a page has changed since it was last asked for, 0-1.

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
    """Note one more check that found a page as it was."""
    moment = int(at.timestamp() * 1000)
    return replace(page, checked_at_ms=moment, num_checks=page.num_checks + 1)
