"""What a collection has so far, safe against kill -9: pages, rejects, and the WARC files of pages.

A page's WARC record is appended first and its row committed second, so the database never names a
record that is not there; a torn record after a kill is cut off when its segment is opened again.
The same SQLite file holds the frontier of a live crawl (`live/frontier.py`), what was asked of each
of its hosts, and the place in each input file of the other sources, so that a page and the step
that led to it are one transaction.

Rows are keyed by a 64-bit hash of the URL: an index of texts of 5 million URLs does not fit
SQLite's cache, one of integers does. Two URLs of one hash, of which the second would be lost, are
met once in 1.5 million crawls of 5 million.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import xxhash

from storage.identities import page_id
from storage.warc import Place, WarcSegment, read_body
from tasks.crawl.captures import Capture, RejectedUrl

DATABASE = "frontier.sqlite"
WARC_FOLDER = "warc"
SEGMENT_BYTES = 1_000_000_000  # Source: Heritrix's default size of a WARC file
_SYNC_BYTES = 32 << 20  # of WARC files that a loss of power can cost


@dataclass(frozen=True)
class FetchedPage:
    """A page that is in a WARC file."""

    url: str
    page_id: str
    content_type: str
    charset: str
    body_digest: str
    num_bytes: int
    policy: str
    licence: str
    fetched_at_ms: int
    checked_at_ms: int
    num_checks: int
    num_changes: int
    status: int
    etag: str
    last_modified: str
    depth: int
    robots: str
    warc_file: str
    warc_offset: int
    warc_bytes: int

    @property
    def place(self) -> Place:
        return Place(self.warc_offset, self.warc_bytes)

    @property
    def fetched_at(self) -> datetime:
        return datetime.fromtimestamp(self.fetched_at_ms / 1000, UTC)

    @property
    def checked_at(self) -> datetime:
        return datetime.fromtimestamp(self.checked_at_ms / 1000, UTC)


PAGE_COLUMNS = tuple(field.name for field in fields(FetchedPage))
_CAPTURED = frozenset(PAGE_COLUMNS) & {field.name for field in fields(Capture)}
HOST_COLUMNS = ("requests", "wire_bytes", "errors", "waiting", "delay_s", "robots")
_NUMBERS = frozenset(f.name for f in fields(FetchedPage) if f.type == "int")
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS pages (
    key INTEGER PRIMARY KEY,
    {", ".join(f"{c} {'INTEGER' if c in _NUMBERS else 'TEXT'} NOT NULL" for c in PAGE_COLUMNS)});
CREATE TABLE IF NOT EXISTS rejects (
    key INTEGER PRIMARY KEY, url TEXT NOT NULL, reason TEXT NOT NULL, value TEXT NOT NULL,
    threshold TEXT NOT NULL, passing INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS passing ON rejects (key) WHERE passing = 1;
CREATE TABLE IF NOT EXISTS segments (
    name TEXT PRIMARY KEY, committed INTEGER NOT NULL, synced INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS progress (name TEXT PRIMARY KEY, done INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS host_log (
    host TEXT PRIMARY KEY, requests INTEGER NOT NULL, wire_bytes INTEGER NOT NULL,
    errors INTEGER NOT NULL, waiting INTEGER NOT NULL, delay_s REAL NOT NULL,
    robots TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS begun (at_ms INTEGER NOT NULL);
"""
_PAGE = ", ".join(PAGE_COLUMNS)
_REJECTED = "FROM rejects WHERE key NOT IN (SELECT key FROM pages)"


def url_key(url: str) -> int:
    """Return the key of a URL's row: xxh3-64 of its bytes, as SQLite's signed integer."""
    key = xxhash.xxh3_64_intdigest(url.encode())
    return key - (1 << 64) if key >> 63 else key


class Catalogue:
    """Use as a context manager, from one thread. Changes are made inside `transaction()`."""

    def __init__(self, folder: Path, software: str = "phusa") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.warc = folder / WARC_FOLDER
        self._software = software
        self._segment: WarcSegment | None = None
        self._synced = 0
        self.db = sqlite3.connect(folder / DATABASE, isolation_level=None)
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=NORMAL")
        # SQLite's own are 2 MB and 4 MB. A larger cache gains nothing: what is written next is
        # at the end of each table, and what was written is seldom asked for.
        self.db.execute("PRAGMA cache_size=-32768")  # KiB
        self.db.execute("PRAGMA wal_autocheckpoint=16000")  # pages of 4 KiB
        self.db.executescript(_SCHEMA)
        query = "SELECT count(*), coalesce(sum(num_bytes), 0) FROM pages"
        num_pages, num_bytes = self.db.execute(query).fetchone()
        self.num_pages, self.num_bytes = int(num_pages), int(num_bytes)

    def __enter__(self) -> Catalogue:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Put the WARC files on disk and close everything."""
        if self._segment is not None:
            self._segment.close()
            self._segment = None
        self.db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make all changes inside the block, or none of them."""
        pages, num_bytes = self.num_pages, self.num_bytes
        self.db.execute("BEGIN")
        try:
            yield
        except BaseException:
            self.db.execute("ROLLBACK")
            self.num_pages, self.num_bytes = pages, num_bytes
            raise
        self.db.execute("COMMIT")

    # --- writing ------------------------------------------------------------------------------

    def add(self, capture: Capture) -> FetchedPage | None:
        """Keep a page; None, and nothing kept, if there is one of the same URL already."""
        if self.has_page(capture.url):
            return None
        at, segment, digest = capture.fetched_at, self._open_segment(), capture.digest
        if capture.status:
            place = segment.append(
                capture.url,
                at,
                capture.status,
                capture.reason,
                capture.headers,
                capture.body,
                digest,
            )
        else:
            place = segment.append_resource(
                capture.url, at, capture.content_type, capture.body, digest
            )
        moment = int(at.timestamp() * 1000)
        captured = {name: getattr(capture, name) for name in _CAPTURED}
        page = FetchedPage(
            **captured,
            page_id=page_id(capture.url, digest),
            body_digest=digest,
            num_bytes=len(capture.body),
            fetched_at_ms=moment,
            checked_at_ms=moment,
            warc_file=segment.path.name,
            warc_offset=place.offset,
            warc_bytes=place.num_bytes,
        )
        self._insert(page, place.end)
        return page

    def carry_over(self, page: FetchedPage, member: bytes) -> FetchedPage:
        """Keep a page with its WARC record, packed as another segment has it."""
        segment = self._open_segment()
        place = segment.append_member(member)
        kept = replace(page, warc_file=segment.path.name, warc_offset=place.offset)
        self._insert(kept, place.end)
        return kept

    def note_revisit(
        self, page: FetchedPage, status: int, reason: str, headers: Sequence[tuple[str, str]]
    ) -> None:
        """Write down that a kept page was asked for again and is as it was."""
        segment, fetched_at = self._open_segment(), page.fetched_at
        place = segment.append_revisit(
            page.url, page.checked_at, status, reason, headers, fetched_at, page.body_digest
        )
        self._commit_segment(segment, place.end)

    def reject(self, reject: RejectedUrl) -> None:
        """Note why a URL gave no page; of several reasons the first stays."""
        self.db.execute(
            "INSERT OR IGNORE INTO rejects VALUES (?, ?, ?, ?, ?, ?)",
            (url_key(reject.url), *astuple(reject)),
        )

    def set_done(self, name: str, done: int) -> None:
        """Note how many records of an input are dealt with."""
        self.db.execute("INSERT OR REPLACE INTO progress VALUES (?, ?)", (name, done))

    def begin(self, at: datetime) -> None:
        """Write down when a crawl began, unless an earlier attempt did."""
        query = "INSERT INTO begun SELECT ? WHERE NOT EXISTS (SELECT 1 FROM begun)"
        self.db.execute(query, (int(at.timestamp() * 1000),))

    def log_hosts(self, hosts: Mapping[str, Mapping[str, Any]]) -> None:
        """Write down how things stand with each host, in place of what was written before."""
        marks = ", ".join("?" * (1 + len(HOST_COLUMNS)))
        rows = ((host, *(row[name] for name in HOST_COLUMNS)) for host, row in hosts.items())
        self.db.executemany(f"INSERT OR REPLACE INTO host_log VALUES ({marks})", rows)

    def _insert(self, page: FetchedPage, segment_end: int) -> None:
        marks = ", ".join("?" * (1 + len(PAGE_COLUMNS)))
        values = (getattr(page, name) for name in PAGE_COLUMNS)  # astuple copies deeply: 0.1 ms
        self.db.execute(f"INSERT INTO pages VALUES ({marks})", (url_key(page.url), *values))
        self.num_pages += 1
        self.num_bytes += page.num_bytes
        self._commit_segment(self._open_segment(), segment_end)

    def _commit_segment(self, segment: WarcSegment, end: int) -> None:
        """Note how far a segment is safe, in the page's own transaction.

        What lies beyond `committed` is a torn end.
        `synced` follows in steps: what lies before it also outlasts a loss of power.
        """
        synced = self._synced
        if end - synced >= _SYNC_BYTES:
            segment.sync()
            self._synced = synced = end
        self.db.execute(
            "INSERT OR REPLACE INTO segments VALUES (?, ?, ?)", (segment.path.name, end, synced)
        )

    def _open_segment(self) -> WarcSegment:
        if self._segment is not None:
            if self._segment.size < SEGMENT_BYTES:
                return self._segment
            self._segment.close()
        names = self.db.execute("SELECT name, committed FROM segments ORDER BY name").fetchall()
        name, committed = names[-1] if names else ("", SEGMENT_BYTES)
        if committed >= SEGMENT_BYTES:
            name, committed = f"pages-{len(names):05d}.warc.gz", 0
        self._segment = WarcSegment(self.warc / name, committed, self._software)
        self._synced = committed
        return self._segment

    # --- reading ------------------------------------------------------------------------------

    def has_page(self, url: str) -> bool:
        query = "SELECT 1 FROM pages WHERE key = ?"
        return self.db.execute(query, (url_key(url),)).fetchone() is not None

    def body(self, page: FetchedPage) -> bytes:
        return read_body(self.warc / page.warc_file, page.warc_offset)

    def pages(self) -> Iterator[FetchedPage]:
        """Return all pages, by page id."""
        return iter(PageShard(self.db, "TRUE"))

    def shards(self, count: int) -> list[PageShard]:
        """Split the pages into `count` parts; a page's part follows from its URL."""
        # The remainder of a row's unsigned key, in SQL, where keys are signed.
        shard = f"((key % {count} + (key < 0) * {(1 << 64) % count + count}) % {count})"
        name = f"shard_of_{count}"
        self.db.execute(f"CREATE INDEX IF NOT EXISTS {name} ON pages ({shard}, page_id)")
        return [PageShard(self.db, f"{shard} = {index}") for index in range(count)]

    def rejects(self) -> Iterator[RejectedUrl]:
        """Yield all rejects, by URL. A URL that gave a page, before or after, is none."""
        query = f"SELECT url, reason, value, threshold, passing {_REJECTED} ORDER BY url"
        for url, reason, value, threshold, passing in self.db.execute(query):
            yield RejectedUrl(url, reason, value, threshold, bool(passing))

    def reasons(self) -> dict[str, int]:
        """Count the rejects of each reason, by reason."""
        query = f"SELECT reason, count(*) {_REJECTED} GROUP BY reason ORDER BY reason"
        return dict(self.db.execute(query).fetchall())

    def segments(self) -> list[Path]:
        """Return the WARC files, in their order."""
        names = self.db.execute("SELECT name FROM segments ORDER BY name").fetchall()
        return [self.warc / name for (name,) in names]

    def done(self, name: str) -> int:
        """Return how many records of an input are dealt with."""
        row = self.db.execute("SELECT done FROM progress WHERE name = ?", (name,)).fetchone()
        return 0 if row is None else int(row[0])

    def hosts(self) -> dict[str, dict[str, Any]]:
        """Return what was written down of each host, by name."""
        found = self.db.execute(f"SELECT host, {', '.join(HOST_COLUMNS)} FROM host_log")
        return {row[0]: dict(zip(HOST_COLUMNS, row[1:], strict=True)) for row in found}

    def begun_ms(self) -> int:
        """Return when the crawl began; 0 for a collection that asked no host."""
        return max((int(at) for (at,) in self.db.execute("SELECT at_ms FROM begun")), default=0)

    # --- recovery -----------------------------------------------------------------------------

    def drop_lost(self) -> list[str]:
        """Forget pages whose records did not outlast a loss of power; return their URLs."""
        lost: list[FetchedPage] = []
        for name, committed, synced in self.db.execute("SELECT * FROM segments").fetchall():
            file = self.warc / name
            size = file.stat().st_size if file.exists() else 0
            rows = self.db.execute(
                f"SELECT {_PAGE} FROM pages WHERE warc_file = ? AND warc_offset + warc_bytes > ?",
                (name, min(size, synced)),
            )
            suspects = [FetchedPage(*row) for row in rows]
            lost += [page for page in suspects if page.place.end > size or not self._reads(page)]
            if size < committed:
                self.db.execute("UPDATE segments SET committed = ? WHERE name = ?", (size, name))
        for page in lost:
            self.db.execute("DELETE FROM pages WHERE key = ?", (url_key(page.url),))
            self.num_pages -= 1
            self.num_bytes -= page.num_bytes
        return [page.url for page in lost]

    def drop_passing(self) -> list[str]:
        """Forget the rejects that may pass; return their URLs."""
        query = "SELECT url FROM rejects WHERE passing = 1"
        urls = [url for (url,) in self.db.execute(query).fetchall()]
        self.db.execute("DELETE FROM rejects WHERE passing = 1")
        return urls

    def _reads(self, page: FetchedPage) -> bool:
        try:
            return hashlib.sha256(self.body(page)).hexdigest() == page.body_digest
        except Exception:
            return False


@dataclass(frozen=True)
class PageShard:
    """The pages of one shard, by page id; read from the database each time."""

    db: sqlite3.Connection
    condition: str

    def __iter__(self) -> Iterator[FetchedPage]:
        query = f"SELECT {_PAGE} FROM pages WHERE {self.condition} ORDER BY page_id"
        return (FetchedPage(*row) for row in self.db.execute(query))
