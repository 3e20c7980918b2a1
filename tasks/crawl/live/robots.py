"""robots.txt by RFC 9309: 4xx allows, 5xx and unreachable disallow, at most 500 KiB are read.

Parsed by Protego, Scrapy's own parser, which knows wildcards and Crawl-delay. What a host said is
kept for 24 hours, over restarts too; if it does not answer then, what it said before still holds.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from time import time
from urllib.parse import urljoin, urlsplit, urlunsplit

from protego import Protego

from tasks.crawl.live.client import Failure, Response
from tasks.crawl.live.policy import HostPolicy, host_policy

MAX_AGE_S = 24 * 3600.0  # RFC 9309 §2.4
MAX_BYTES = 500 * 1024
_MAX_REDIRECTS = 5  # RFC 9309 §2.3.1.2
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_DELAY_S = 3600.0
_AGENT = "phusa"
Ask = Callable[[str], Awaitable[Response | Failure]]
"""Asks for the first `MAX_BYTES` of a URL."""
SlowDown = Callable[[float], None]
"""Is told the seconds that robots.txt wants between two requests."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS robots (
    root TEXT PRIMARY KEY, status INTEGER NOT NULL, body TEXT NOT NULL, tdmrep TEXT NOT NULL,
    fetched_at REAL NOT NULL);
"""


@dataclass(frozen=True)
class Verdict:
    """Whether a URL may be fetched, and why."""

    allowed: bool
    reason: str
    passing: bool = False


class Rules:
    """What the robots.txt of one host says."""

    def __init__(self, status: int, body: str, tdmrep: str, user_agent: str) -> None:
        self._status, self._agent = status, user_agent
        self._parsed = Protego.parse(body) if status == 200 else None
        self.outcome = "read" if status == 200 else f"no robots.txt ({status})"
        self.policy = host_policy(tdmrep, body if status == 200 else "", _AGENT)
        self.sitemaps = tuple(self._parsed.sitemaps) if self._parsed else ()
        self.delay_s = 0.0
        if self._parsed:
            with suppress(TypeError, ValueError):
                self.delay_s = min(float(self._parsed.crawl_delay(user_agent) or 0), _MAX_DELAY_S)

    def verdict(self, url: str) -> Verdict:
        if self._parsed is None:
            return Verdict(400 <= self._status < 500, self.outcome)
        allowed = bool(self._parsed.can_fetch(url, self._agent))
        return Verdict(allowed, "allowed" if allowed else "disallowed")


@dataclass(frozen=True)
class Unreachable:
    """No robots.txt could be had, which forbids everything for now.

    `private` is the private address that the host itself has.
    """

    outcome: str
    passing: bool = True
    private: str = ""
    delay_s = 0.0
    sitemaps = ()
    policy = HostPolicy()

    def verdict(self, _: str) -> Verdict:
        return Verdict(False, self.outcome, self.passing)


class Robots:
    """The robots.txt of every host of one crawl."""

    def __init__(self, user_agent: str, db: sqlite3.Connection, *, tdmrep: bool = True) -> None:
        self._agent, self._db, self._tdmrep = user_agent, db, tdmrep
        self._db.executescript(_SCHEMA)
        self._rules: dict[str, tuple[float, asyncio.Task[Rules | Unreachable]]] = {}

    async def rules(self, url: str, ask: Ask, slow_down: SlowDown) -> Rules | Unreachable:
        """Return what holds for the host of `url`, at most a day old. `ask` keeps its pace."""
        parts = urlsplit(url)
        root = urlunsplit((parts.scheme, parts.netloc, "/robots.txt", "", ""))
        asked_at, task = self._rules.get(root, (0.0, None))
        if task is None or time() - asked_at > MAX_AGE_S:
            task = asyncio.create_task(self._load(root, ask, slow_down))
            self._rules[root] = (time(), task)
        return await asyncio.shield(task)

    async def _load(self, root: str, ask: Ask, slow_down: SlowDown) -> Rules | Unreachable:
        query = "SELECT status, body, tdmrep, fetched_at FROM robots WHERE root = ?"
        row = self._db.execute(query, (root,)).fetchone()
        known = None if row is None else Rules(row[0], row[1], row[2], self._agent)
        if known is not None and time() - row[3] < MAX_AGE_S:
            return known
        found = await _fetch(root, ask)
        if isinstance(found, Unreachable):
            return known or found
        status, body = found
        slow_down(Rules(status, body, "", self._agent).delay_s)
        tdmrep = await _tdm(root, ask) if self._tdmrep else ""
        self._db.execute(
            "INSERT OR REPLACE INTO robots VALUES (?, ?, ?, ?, ?)",
            (root, status, body, tdmrep, time()),
        )
        return Rules(status, body, tdmrep, self._agent)


async def _fetch(root: str, ask: Ask) -> tuple[int, str] | Unreachable:
    url = root
    for _ in range(_MAX_REDIRECTS + 1):
        answer = await ask(url)
        if isinstance(answer, Failure):
            reason, value = answer.reject.reason, answer.reject.value
            passing = reason != "private_address"
            private = "" if passing or url != root else value
            return Unreachable(f"robots.txt unreachable ({reason}: {value})", passing, private)
        if answer.status >= 500:
            return Unreachable(f"robots.txt answered {answer.status}")
        if answer.status == 200:
            return 200, answer.body.decode("utf-8-sig", "replace")
        if answer.status not in _REDIRECTS or not answer.header("location"):
            return max(answer.status, 400), ""
        target = urljoin(url, answer.header("location"))
        if urlsplit(target).scheme not in ("http", "https"):
            return 404, ""  # RFC 9309 §2.3.1.2: as if there were none
        url = target
    return 404, ""


async def _tdm(root: str, ask: Ask) -> str:
    """Ask for the host's text and data mining policy; empty if it has none.

    Source: https://www.w3.org/community/reports/tdmrep/CG-FINAL-tdmrep-20240510/
    """
    answer = await ask(urljoin(root, "/.well-known/tdmrep.json"))
    if isinstance(answer, Failure) or answer.status != 200:
        return ""
    return answer.body.decode("utf-8", "replace")
