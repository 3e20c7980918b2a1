"""The crawl's memory: an ordered queue of URLs and what became of each, in one SQLite file.

A page's WARC record is appended first and its row committed second, so the database never names a
record that is not there; a torn record after a kill -9 is cut off when the segment is opened
again. Each URL gets a sequence number when it is first seen and results are committed in that
order, so the set of pages within a budget depends on the site alone, not on timing or on kills.

Scrapy's disk queues were tried: they survive a clean stop only (scrapy #7978).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS urls (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, url TEXT UNIQUE NOT NULL, depth INTEGER NOT NULL,
    redirects INTEGER NOT NULL DEFAULT 0, done INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS queue ON urls (done, seq);
CREATE TABLE IF NOT EXISTS pages (
    url TEXT PRIMARY KEY, page_id TEXT, content_type TEXT, charset TEXT, body_digest TEXT,
    num_bytes INTEGER, fetched_at_ms INTEGER, status INTEGER, depth INTEGER, robots TEXT,
    warc_file TEXT, warc_offset INTEGER, warc_end INTEGER);
CREATE TABLE IF NOT EXISTS rejects (
    url TEXT PRIMARY KEY, reason TEXT, value TEXT, threshold TEXT, passing INTEGER);
"""


@dataclass(frozen=True)
class Queued:
    """A URL that waits for its turn; `redirects` of them in a row led to it."""

    seq: int
    url: str
    depth: int
    redirects: int = 0


@dataclass(frozen=True)
class FetchedPage:
    """A page that is in the WARC file."""

    url: str
    page_id: str
    content_type: str
    charset: str
    body_digest: str
    num_bytes: int
    fetched_at_ms: int
    status: int
    depth: int
    robots: str
    warc_file: str
    warc_offset: int
    warc_end: int


@dataclass(frozen=True)
class RejectedUrl:
    """A URL that gave no page; `passing` failures are tried again by a crawl that goes on."""

    url: str
    reason: str
    value: str
    threshold: str
    passing: bool = False


class Frontier:
    """A queue that survives kill -9. Not for use from several threads."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        self._db.close()

    def recover(self, warc_folder: Path) -> None:
        """Queue again what is not safely in a WARC file, and what failed in passing."""
        with self._db:
            self._db.execute("BEGIN")
            for url, name, end in self._db.execute("SELECT url, warc_file, warc_end FROM pages"):
                file = warc_folder / name
                if not file.exists() or file.stat().st_size < end:
                    self._db.execute("DELETE FROM pages WHERE url = ?", (url,))
                    self._db.execute("UPDATE urls SET done = 0 WHERE url = ?", (url,))
            self._db.execute(
                "UPDATE urls SET done = 0 WHERE url IN (SELECT url FROM rejects WHERE passing = 1)"
            )
            self._db.execute("DELETE FROM rejects WHERE passing = 1")

    def add(self, urls: Iterable[str], depth: int) -> None:
        """Queue the URLs not seen before, in the given order."""
        with self._db:
            self._db.execute("BEGIN")
            self._add(urls, depth)

    def after(self, seq: int, limit: int) -> list[Queued]:
        """The next waiting URLs beyond sequence number `seq`."""
        rows = self._db.execute(
            "SELECT seq, url, depth, redirects FROM urls WHERE done = 0 AND seq > ? "
            "ORDER BY seq LIMIT ?",
            (seq, limit),
        )
        return [Queued(*row) for row in rows]

    def commit(
        self,
        result: FetchedPage | RejectedUrl,
        links: Iterable[str],
        depth: int,
        redirects: int = 0,
    ) -> None:
        """Note what became of one URL and queue the links it led to, all or nothing."""
        with self._db:
            self._db.execute("BEGIN")
            if isinstance(result, FetchedPage):
                marks = ", ".join("?" * 13)
                self._db.execute(f"INSERT INTO pages VALUES ({marks})", astuple(result))
            else:
                self._db.execute("INSERT INTO rejects VALUES (?, ?, ?, ?, ?)", astuple(result))
            self._db.execute("UPDATE urls SET done = 1 WHERE url = ?", (result.url,))
            self._add(links, depth, redirects)

    def num_pages(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM pages").fetchone()[0])

    def num_waiting(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM urls WHERE done = 0").fetchone()[0])

    def committed_bytes(self, warc_file: str) -> int:
        """Where the last committed record of a segment ends, in bytes (0: none)."""
        query = "SELECT coalesce(max(warc_end), 0) FROM pages WHERE warc_file = ?"
        return int(self._db.execute(query, (warc_file,)).fetchone()[0])

    def pages(self) -> Iterator[FetchedPage]:
        """All pages, by page id."""
        for row in self._db.execute("SELECT * FROM pages ORDER BY page_id"):
            yield FetchedPage(*row)

    def rejects(self) -> Iterator[RejectedUrl]:
        """All rejects, by URL."""
        for url, reason, value, threshold, passing in self._db.execute(
            "SELECT * FROM rejects ORDER BY url"
        ):
            yield RejectedUrl(url, reason, value, threshold, bool(passing))

    def _add(self, urls: Iterable[str], depth: int, redirects: int = 0) -> None:
        self._db.executemany(
            "INSERT OR IGNORE INTO urls (url, depth, redirects) VALUES (?, ?, ?)",
            ((url, depth, redirects) for url in urls),
        )
