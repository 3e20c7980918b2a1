"""The frontier: an ordered queue of URLs for each host, and what became of each.

It lies in the catalogue's SQLite file, so that a page and the links it led to are committed
together. Each URL gets a sequence number when it is first seen, and links are queued in the order
of the pages that they stand on: which pages of a host a budget leaves out depends on the site
alone, not on timing or on kills. A page is kept the moment it arrives (`KEPT`) and its links are
queued when its turn comes (`DONE`); until then they are held beside it, so that a kill costs
nothing that has arrived.

Scrapy's disk queues were tried: they survive a clean stop only (scrapy #7978).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum

from tasks.crawl.catalogue import Catalogue, url_key
from tasks.crawl.urls import host_of

_SCHEMA = """
CREATE TABLE IF NOT EXISTS hosts (host INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL);
CREATE TABLE IF NOT EXISTS urls (
    seq INTEGER PRIMARY KEY, key INTEGER NOT NULL, host INTEGER NOT NULL,
    url TEXT NOT NULL, depth INTEGER NOT NULL, redirects INTEGER NOT NULL, kind INTEGER NOT NULL,
    state INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS waiting ON urls (host, seq) WHERE state < 2;
CREATE TABLE IF NOT EXISTS held (seq INTEGER PRIMARY KEY, links TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
_QUEUE = (
    "INSERT INTO urls (seq, key, host, url, depth, redirects, kind) VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_BUCKETS = 1 << 14  # a power of two; 5 million keys are 300 a bucket, whose insertion moves 2 KB


class Kind(IntEnum):
    """What a URL is asked for."""

    PAGE = 0
    LISTING = 1  # a sitemap or a feed


class State(IntEnum):
    """How far a URL has come."""

    WAITING = 0
    KEPT = 1  # the page, or the reject, is in the catalogue; its links are not queued yet
    DONE = 2


@dataclass(frozen=True)
class Queued:
    """A URL that waits for its turn; `redirects` of them in a row led to it."""

    seq: int
    url: str
    depth: int
    redirects: int = 0
    kind: Kind = Kind.PAGE
    state: State = State.WAITING


class _Bucket:
    __slots__ = ("depths", "keys", "seqs")

    def __init__(self) -> None:
        self.keys, self.seqs, self.depths = array("q"), array("I"), array("H")


class KnownUrls:
    """Sequence number and depth of each URL that a crawl has seen, by its 64-bit key, in memory.

    Nine of ten links lead to a URL that is known. Asking SQLite's index for each made a page of 50
    links cost 0.5 ms at 100 000 URLs and 1.0 ms at a million, and every new key dirtied a database
    page of its own. Here a look-up takes 2 µs at a million and at 5 million, and the database is
    appended to only. 5 million URLs take 100 MB, 14 bytes a key, and 13 s to be read again after a
    kill.
    """

    def __init__(self) -> None:
        self._buckets: list[_Bucket | None] = [None] * _BUCKETS

    def find(self, key: int) -> tuple[int, int] | None:
        """Return sequence number and depth of a URL, or None if it was never seen."""
        bucket = self._buckets[key & _BUCKETS - 1]
        if bucket is None:
            return None
        keys = bucket.keys
        at = bisect_left(keys, key)
        if at == len(keys) or keys[at] != key:
            return None
        return bucket.seqs[at], bucket.depths[at]

    def set(self, key: int, seq: int, depth: int) -> None:
        """Remember a URL, or that it is found on a way of another depth."""
        bucket = self._buckets[key & _BUCKETS - 1]
        if bucket is None:
            bucket = self._buckets[key & _BUCKETS - 1] = _Bucket()
        at = bisect_left(bucket.keys, key)
        if at < len(bucket.keys) and bucket.keys[at] == key:
            bucket.seqs[at], bucket.depths[at] = seq, depth
            return
        bucket.keys.insert(at, key)
        bucket.seqs.insert(at, seq)
        bucket.depths.insert(at, depth)


class Frontier:
    """Changes are made inside the catalogue's `transaction()`. Not for use from several threads."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._db = catalogue.db
        self._db.executescript(_SCHEMA)
        self._hosts: dict[str, int] = {
            name: host for host, name in self._db.execute("SELECT host, name FROM hosts")
        }
        self._names = {host: name for name, host in self._hosts.items()}
        query = "SELECT host, count(*) FROM urls WHERE state < 2 GROUP BY host"
        self.waiting: Counter[int] = Counter(dict(self._db.execute(query).fetchall()))
        """URLs of each host that are not done."""
        self.num_waiting = self.waiting.total()
        self._known, self._last = KnownUrls(), 0
        for key, seq, depth in self._db.execute("SELECT key, seq, depth FROM urls ORDER BY seq"):
            self._known.set(key, seq, depth)
            self._last = seq

    def host(self, name: str) -> int:
        """Return the number of a host, a new one if need be."""
        if name not in self._hosts:
            found = self._db.execute("INSERT INTO hosts (name) VALUES (?)", (name,)).lastrowid
            assert found is not None
            self._hosts[name] = found
            self._names[found] = name
        return self._hosts[name]

    def name(self, host: int) -> str:
        return self._names[host]

    def add(
        self,
        urls: Iterable[str],
        depth: int,
        redirects: int = 0,
        kind: Kind = Kind.PAGE,
        admits: Callable[[str], bool] = lambda url: True,
    ) -> int:
        """Queue the URLs not seen before, in the given order; how many there were.

        `admits` is asked about each new one. A URL that waits and is found on a shorter way has the
        shorter depth from then on.
        """
        new = []
        for url in urls:
            key = url_key(url)
            known = self._known.find(key)
            if known is None:
                if admits(url):
                    self._last += 1
                    self._known.set(key, self._last, depth)
                    host = self.host(host_of(url))
                    new.append((self._last, key, host, url, depth, redirects, kind))
                    self._count(host, 1)
            elif known[1] > depth:
                seq, _ = known
                query = "UPDATE urls SET depth = ? WHERE seq = ? AND state = ?"
                self._db.execute(query, (depth, seq, State.WAITING))
                self._known.set(key, seq, depth)
        self._db.executemany(_QUEUE, new)
        return len(new)

    def after(self, host: int, seq: int, limit: int) -> list[Queued]:
        """Return the next URLs of a host beyond sequence number `seq` that are not done."""
        rows = self._db.execute(
            "SELECT seq, url, depth, redirects, kind, state FROM urls "
            "WHERE host = ? AND seq > ? AND state < 2 ORDER BY seq LIMIT ?",
            (host, seq, limit),
        )
        return [
            Queued(seq, url, depth, redirects, Kind(kind), State(state))
            for seq, url, depth, redirects, kind, state in rows
        ]

    def hold(self, queued: Queued, links: str) -> None:
        """Note that a URL's outcome is kept, and the links that are queued when its turn comes."""
        self._db.execute("UPDATE urls SET state = 1 WHERE seq = ?", (queued.seq,))
        self._db.execute("INSERT OR REPLACE INTO held VALUES (?, ?)", (queued.seq, links))

    def held(self, queued: Queued) -> str:
        """Return the links of a URL whose outcome is kept."""
        row = self._db.execute("SELECT links FROM held WHERE seq = ?", (queued.seq,)).fetchone()
        return str(row[0])

    def settle(self, queued: Queued) -> None:
        """Note that nothing more is to be done about a URL."""
        self._db.execute("UPDATE urls SET state = 2 WHERE seq = ?", (queued.seq,))
        self._db.execute("DELETE FROM held WHERE seq = ?", (queued.seq,))
        self._count(self.host(host_of(queued.url)), -1)

    def requeue(self, urls: Iterable[str]) -> None:
        """Let URLs wait again in their old places."""
        for url in urls:
            known = self._known.find(url_key(url))
            if known is None:
                continue
            query = "UPDATE urls SET state = 0 WHERE seq = ? AND state = ?"
            self._db.execute(query, (known[0], State.KEPT))
            num_done = self._db.execute(query, (known[0], State.DONE)).rowcount
            self._count(self.host(host_of(url)), num_done)

    def note(self, name: str, value: str | None = None) -> str | None:
        """Write down a word under a name, or read it."""
        if value is not None:
            self._db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, value))
            return value
        row = self._db.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def _count(self, host: int, number: int) -> None:
        self.num_waiting += number
        self.waiting[host] += number
        if not self.waiting[host]:
            del self.waiting[host]
