"""One polite request: robots, the host's pace and slots, conditions, retries.

The delay between two requests follows the host's own speed, as Heritrix has it: `delay_factor`
times what the last answers took, between `delay_s` and `max_delay_s`; robots.txt may ask for more.
429 and 503 double the delay, up to a minute, until answers come again, and Retry-After parks the
host.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from time import monotonic
from typing import Any
from zoneinfo import ZoneInfo

from tasks.crawl.captures import RejectedUrl
from tasks.crawl.live.client import Failure, HttpClient, Response
from tasks.crawl.live.policy import HostPolicy
from tasks.crawl.live.robots import MAX_BYTES, Robots, Rules, Unreachable
from tasks.crawl.sources.web import Politeness, WebSource
from tasks.crawl.urls import host_of

MAX_RETRY_AFTER_S = 3600.0
_MAX_PENALTY_S = 60.0
_SMOOTHING = 0.3  # the weight of the newest answer in the mean
_RETRIED = frozenset({408, 429, 500, 502, 503, 504})
_OVERLOADED = frozenset({429, 503})
NOT_MODIFIED = 304


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


class Pace:
    """How fast one host is asked."""

    def __init__(self, politeness: Politeness) -> None:
        self._politeness = politeness
        self._next_start = 0.0
        self._answer_s = 0.0
        self._penalty_s = 0.0
        self._robots_delay_s = 0.0

    @property
    def delay_s(self) -> float:
        """Seconds between the starts of two requests, as things stand."""
        wanted = self._politeness
        own = min(wanted.delay_factor * self._answer_s, wanted.max_delay_s)
        return max(wanted.delay_s, own, self._robots_delay_s, self._penalty_s)

    def slow_down(self, robots_delay_s: float) -> None:
        """Leave so many seconds between two requests, from this one on: robots.txt asks for it."""
        if robots_delay_s != self._robots_delay_s:
            self._robots_delay_s = robots_delay_s
            self._park(self.delay_s)

    async def turn(self) -> None:
        """Wait until the next request may start, and take that turn."""
        while (wait_s := self._next_start - monotonic()) > 0:
            await asyncio.sleep(wait_s)
        self._next_start = monotonic() + self.delay_s
        while (wait_s := seconds_until_open(self._politeness)) > 0:
            await asyncio.sleep(min(wait_s, 60.0))

    def answered(self, seconds: float) -> None:
        """Note that the host answered, well, after so long."""
        self._answer_s += _SMOOTHING * (seconds - self._answer_s)
        self._penalty_s = 0.0
        self._park(self.delay_s - seconds)

    def refused(self, retry_after_s: float | None, attempt: int) -> None:
        """Note that the host is overloaded, or does not answer."""
        if retry_after_s is None:
            self._penalty_s = min(max(2 * self._penalty_s, self.delay_s), _MAX_PENALTY_S)
        self._park(0.5 * 2.0**attempt if retry_after_s is None else retry_after_s)

    def _park(self, seconds: float) -> None:
        self._next_start = max(self._next_start, monotonic() + seconds)


def seconds_until_open(politeness: Politeness, now: datetime | None = None) -> float:
    """Return the seconds until the hours in which hosts may be asked; 0 within them."""
    if politeness.hours is None:
        return 0.0
    first, last = politeness.hours
    local = (now or datetime.now(UTC)).astimezone(ZoneInfo(politeness.timezone))
    open_now = first <= local.hour < last if first < last else not last <= local.hour < first
    if open_now:
        return 0.0
    opens = local.replace(hour=first, minute=0, second=0, microsecond=0)
    if opens <= local:
        opens += timedelta(days=1)
    return (opens.astimezone(UTC) - local.astimezone(UTC)).total_seconds()


def retry_after_s(
    value: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> float | None:
    """Return the seconds that a Retry-After header asks for (a number or a date), or None.

    Source: RFC 9110 §10.2.3
    """
    if value.isascii() and value.isdecimal():
        return float(value[:9])
    try:
        seconds = (parsedate_to_datetime(value) - now()).total_seconds()
    except (ValueError, TypeError, OverflowError):  # TypeError: a date without a time zone
        return None
    return seconds if seconds > 0 else None  # one of the past says no more than "later"


@dataclass
class _Host:
    """What was asked of one host, and how it went."""

    pace: Pace
    slots: asyncio.Semaphore
    requests: int = 0
    errors: int = 0
    wire_bytes: int = 0
    robots: str = ""


def open_client(source: WebSource) -> HttpClient:
    """Make a client that asks as `source` says."""
    return HttpClient(
        source.user_agent,
        timeout_s=source.timeout_s,
        allow_private=source.allow_private_addresses,
        languages=source.accept_language,
    )


class Fetcher:
    """Fetches URLs with one HTTP client; politeness is kept per host and port."""

    def __init__(
        self,
        client: HttpClient,
        source: WebSource,
        db: sqlite3.Connection,
        logged: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """`db` keeps robots.txt files; `logged` is what an earlier attempt counted of each host."""
        self._client, self._source, self._logged = client, source, logged or {}
        tdmrep = "tdm-reservation" in source.politeness.obey
        self._robots = Robots(source.user_agent, db, tdmrep=tdmrep)
        self._connections = asyncio.Semaphore(source.politeness.max_connections)
        self._hosts: dict[str, _Host] = {}

    async def sitemaps(self, url: str) -> tuple[str, ...]:
        """Return the sitemaps that the host of `url` names in its robots.txt."""
        return (await self._rules(url, self._host(url))).sitemaps

    async def fetch(
        self, url: str, condition: Mapping[str, str] | None = None
    ) -> Fetched | RejectedUrl:
        """Return the response, or the reason why there is none.

        `condition` are headers by which the server may answer 304. Never raises for what a server
        does.
        """
        host = self._host(url)
        async with host.slots:
            rules = await self._rules(url, host)
            forbidden, allowed = _forbidden(rules, url)
            if forbidden is not None:
                return forbidden
            limit = self._source.max_page_bytes
            for attempt in range(self._source.retries + 1):
                begun, answer = await self._ask(url, host, attempt, limit, condition)
                if not _is_passing(answer) or attempt == self._source.retries:
                    break
        if isinstance(answer, Failure):
            return answer.reject
        status = answer.status
        is_redirect = 300 <= status < 400 and status != NOT_MODIFIED
        if status == 200 or is_redirect or (status == NOT_MODIFIED and condition):
            return Fetched(answer, begun, allowed, rules.policy)
        return RejectedUrl(url, f"http_{status}", str(status), "200", status in _RETRIED)

    async def forbidden(self, url: str) -> RejectedUrl | None:
        """Return why a URL may not be asked for as things stand today, or None."""
        host = self._host(url)
        async with host.slots:
            return _forbidden(await self._rules(url, host), url)[0]

    def log(self) -> dict[str, dict[str, Any]]:
        """Tell how things stand with each host, by name, for `Catalogue.log_hosts`."""
        counted = ("requests", "wire_bytes", "errors", "robots")
        return {
            name: {"delay_s": host.pace.delay_s, **{key: getattr(host, key) for key in counted}}
            for name, host in self._hosts.items()
        }

    def _host(self, url: str) -> _Host:
        name = host_of(url)
        if name not in self._hosts:
            before = self._logged.get(name, {})
            counts = {field: before.get(field, 0) for field in ("requests", "errors", "wire_bytes")}
            slots = asyncio.Semaphore(self._source.politeness.connections_per_host)
            self._hosts[name] = _Host(Pace(self._source.politeness), slots, **counts)
        return self._hosts[name]

    async def _rules(self, url: str, host: _Host) -> Rules | Unreachable:
        async def ask(wanted: str) -> Response | Failure:
            return (await self._ask(wanted, host, 0, MAX_BYTES, cut=True))[1]

        rules = await self._robots.rules(url, ask, host.pace.slow_down)
        host.pace.slow_down(rules.delay_s)
        host.robots = rules.outcome
        return rules

    async def _ask(
        self,
        url: str,
        host: _Host,
        attempt: int,
        max_bytes: int,
        condition: Mapping[str, str] | None = None,
        *,
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
    """Return why robots.txt or its address forbids a URL, if it does, and the verdict in words."""
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
    return answer.reject.passing if isinstance(answer, Failure) else answer.status in _RETRIED
