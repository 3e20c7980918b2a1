"""One polite request: robots, the host's pace and slots, conditions, retries."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tasks.crawl import hosts
from tasks.crawl.captures import RejectedUrl
from tasks.crawl.live.client import Failure, HttpClient, Response
from tasks.crawl.live.pacing import MAX_RETRY_AFTER_S, Pace, retry_after_s
from tasks.crawl.live.policy import HostPolicy
from tasks.crawl.live.robots import MAX_BYTES, Robots, Rules, Unreachable
from tasks.crawl.sources.web import WebSource
from tasks.crawl.urls import host_of

_RETRIED = frozenset({408, 429, 500, 502, 503, 504})
_OVERLOADED = frozenset({429, 503})
_NOT_MODIFIED = 304


@dataclass(frozen=True)
class Fetched:
    """A response of status 200, a redirect, or a 304 to a condition."""

    response: Response
    fetched_at: datetime
    robots: str
    policy: HostPolicy = field(default_factory=HostPolicy)
    not_modified: Response | None = None
    """The 304 that said that an earlier response, which this is, still holds."""

    @property
    def url(self) -> str:
        return self.response.url


@dataclass
class HostLog:
    """What was asked of one host, and how it went."""

    pace: Pace
    slots: asyncio.Semaphore
    requests: int = 0
    errors: int = 0
    wire_bytes: int = 0
    robots: str = ""


class Fetcher:
    """Fetches URLs with one HTTP client; politeness is kept per host and port."""

    def __init__(self, client: HttpClient, source: WebSource, db: sqlite3.Connection) -> None:
        self._client, self._source = client, source
        tdmrep = "tdm-reservation" in source.politeness.obey
        self._robots = Robots(source.user_agent, db, tdmrep=tdmrep)
        self._connections = asyncio.Semaphore(source.politeness.max_connections)
        self._hosts: dict[str, HostLog] = {}
        self._logged = hosts.logged(db)

    async def sitemaps(self, url: str) -> tuple[str, ...]:
        """The sitemaps that the host of `url` names in its robots.txt."""
        return (await self._rules(url, self._host(url))).sitemaps

    async def fetch(
        self, url: str, condition: Mapping[str, str] | None = None
    ) -> Fetched | RejectedUrl:
        """The response, or the reason why there is none. Never raises for what a server does.

        `condition` are headers by which the server may answer 304.
        """
        host = self._host(url)
        async with host.slots:
            rules = await self._rules(url, host)
            forbidden, allowed = _forbidden(rules, url)
            if forbidden is not None:
                return forbidden
            for attempt in range(self._source.retries + 1):
                begun, answer = await self._ask(
                    url,
                    host,
                    attempt,
                    max_bytes=self._source.max_page_bytes,
                    condition=condition,
                )
                if not _is_passing(answer) or attempt == self._source.retries:
                    break
            return _judged(answer, begun, allowed, rules.policy, condition)

    async def forbidden(self, url: str) -> RejectedUrl | None:
        """Why a URL may not be asked for as things stand today, or None."""
        host = self._host(url)
        async with host.slots:
            return _forbidden(await self._rules(url, host), url)[0]

    def _host(self, url: str) -> HostLog:
        name = host_of(url)
        if name not in self._hosts:
            before = self._logged.get(name, {})
            counts = {field: before.get(field, 0) for field in ("requests", "errors", "wire_bytes")}
            slots = asyncio.Semaphore(self._source.politeness.connections_per_host)
            self._hosts[name] = HostLog(Pace(self._source.politeness), slots, **counts)
        return self._hosts[name]

    def log(self) -> dict[str, dict[str, Any]]:
        """How things stand with each host, by name, as `hosts.log` writes it down."""
        return {
            name: {
                "requests": host.requests,
                "wire_bytes": host.wire_bytes,
                "errors": host.errors,
                "delay_s": host.pace.delay_s,
                "robots": host.robots,
            }
            for name, host in self._hosts.items()
        }

    async def _rules(self, url: str, host: HostLog) -> Rules | Unreachable:
        async def ask(wanted: str) -> Response | Failure:
            return (await self._ask(wanted, host, 0, max_bytes=MAX_BYTES, cut=True))[1]

        rules = await self._robots.rules(url, ask, host.pace.slow_down)
        host.pace.slow_down(rules.delay_s)
        host.robots = rules.outcome
        return rules

    async def _ask(
        self,
        url: str,
        host: HostLog,
        attempt: int,
        *,
        max_bytes: int,
        condition: Mapping[str, str] | None = None,
        cut: bool = False,
    ) -> tuple[datetime, Response | Failure]:
        await host.pace.turn()
        async with self._connections:
            begun = datetime.now(UTC)
            answer = await self._client.get(url, max_bytes, condition, cut=cut)
        host.requests += 1
        if isinstance(answer, Response):
            host.wire_bytes += answer.wire_bytes
        if not cut:  # a host without a robots.txt is none that errs
            host.errors += isinstance(answer, Failure) or answer.status >= 400
        _tell(host.pace, answer, attempt)
        return begun, answer


def _forbidden(rules: Rules | Unreachable, url: str) -> tuple[RejectedUrl | None, str]:
    """Why robots.txt or its address forbids a URL, if it does, and the verdict in words."""
    if isinstance(rules, Unreachable) and rules.private:
        return RejectedUrl(url, "private_address", rules.private, "a public address"), ""
    verdict = rules.verdict(url)
    if verdict.allowed:
        return None, verdict.reason
    return RejectedUrl(url, "robots", verdict.reason, "allowed", verdict.passing), verdict.reason


def _tell(pace: Pace, answer: Response | Failure, attempt: int) -> None:
    if not _is_passing(answer):
        pace.answered(answer.seconds)
        return
    wanted = None
    if isinstance(answer, Response):
        wanted = retry_after_s(answer.header("retry-after"))
        if answer.status not in _OVERLOADED and wanted is None:
            pace.answered(answer.seconds)  # the page is at fault, and not the host
    pace.refused(None if wanted is None else min(wanted, MAX_RETRY_AFTER_S), attempt)


def _is_passing(answer: Response | Failure) -> bool:
    return answer.passing if isinstance(answer, Failure) else answer.status in _RETRIED


def _judged(
    answer: Response | Failure,
    begun: datetime,
    robots: str,
    policy: HostPolicy,
    condition: Mapping[str, str] | None,
) -> Fetched | RejectedUrl:
    """Turn a status that carries no page into a reject; redirects are the caller's."""
    if isinstance(answer, Failure):
        return RejectedUrl(
            answer.url, answer.reason, answer.value, answer.threshold, answer.passing
        )
    status = answer.status
    is_redirect = 300 <= status < 400 and status != _NOT_MODIFIED
    if status == 200 or is_redirect or (status == _NOT_MODIFIED and condition):
        return Fetched(answer, begun, robots, policy)
    return RejectedUrl(answer.url, f"http_{status}", str(status), "200", status in _RETRIED)
