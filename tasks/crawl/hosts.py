"""A line for each host of a crawl: what was asked, what came of it, what is still waiting."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from tasks.crawl.captures import FetchedPage
from tasks.crawl.urls import host_of

_SCHEMA = """
CREATE TABLE IF NOT EXISTS host_log (
    host TEXT PRIMARY KEY, requests INTEGER NOT NULL, wire_bytes INTEGER NOT NULL,
    errors INTEGER NOT NULL, waiting INTEGER NOT NULL, delay_s REAL NOT NULL,
    robots TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS begun (at_ms INTEGER NOT NULL);
"""
_LOGGED = ("requests", "wire_bytes", "errors", "waiting", "delay_s", "robots")

Row = dict[str, Any]


def logged(db: sqlite3.Connection) -> dict[str, Row]:
    """What earlier attempts wrote down of each host."""
    db.executescript(_SCHEMA)
    found = db.execute(f"SELECT host, {', '.join(_LOGGED)} FROM host_log").fetchall()
    return {row[0]: dict(zip(_LOGGED, row[1:], strict=True)) for row in found}


def begin(db: sqlite3.Connection, at: datetime) -> None:
    """Write down when the crawl began, unless an earlier attempt did."""
    db.executescript(_SCHEMA)
    db.execute(
        "INSERT INTO begun SELECT ? WHERE NOT EXISTS (SELECT 1 FROM begun)",
        (int(at.timestamp() * 1000),),
    )


def log(db: sqlite3.Connection, hosts: Mapping[str, Mapping[str, Any]]) -> None:
    """Write down how things stand with each host, in place of what was written before."""
    marks = ", ".join("?" * (1 + len(_LOGGED)))
    rows = ((host, *(row[name] for name in _LOGGED)) for host, row in hosts.items())
    db.executemany(f"INSERT OR REPLACE INTO host_log VALUES ({marks})", rows)


def host_rows(db: sqlite3.Connection, pages: Iterable[FetchedPage]) -> list[Row]:
    """The rows of `records.HOST`, by host; none for a collection that asked no host.

    Pages that were fetched before the crawl began are an earlier crawl's, unchanged.
    """
    known = logged(db)
    if not known:
        return []
    begun_ms = max((at for (at,) in db.execute("SELECT at_ms FROM begun")), default=0)
    kept: dict[str, Row] = defaultdict(lambda: {"pages": 0, "page_bytes": 0, "unchanged": 0})
    for page in pages:
        row = kept[host_of(page.url)]
        row["pages"] += 1
        row["page_bytes"] += page.num_bytes
        row["unchanged"] += page.fetched_at_ms < begun_ms
    nothing: Row = dict.fromkeys(_LOGGED, 0) | {"delay_s": 0.0, "robots": "not asked"}
    names = sorted(known.keys() | kept.keys())
    return [{"host": name, **nothing, **known.get(name, {}), **kept[name]} for name in names]
