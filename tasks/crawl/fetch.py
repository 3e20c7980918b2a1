"""One polite request: per-host limits and delays, robots, size and time limits, retries."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from http.cookiejar import DefaultCookiePolicy

import httpx

from tasks.crawl.addresses import Addresses
from tasks.crawl.body import ACCEPT_ENCODING, read_at_most
from tasks.crawl.frontier import RejectedUrl
from tasks.crawl.robots import Robots
from tasks.crawl.sources.web import WebSource
from tasks.crawl.urls import host_of

_RETRIED = frozenset({429, 500, 502, 503, 504})
_MAX_RETRY_AFTER_S = 60.0


@dataclass(frozen=True)
class Fetched:
    """A response whose body was read to its end and decoded."""

    url: str
    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes
    fetched_at: datetime
    robots: str


def http_client(source: WebSource) -> httpx.AsyncClient:
    """A client that says who it is and forgets cookies: a page must not depend on those before."""
    client = httpx.AsyncClient(
        headers={"User-Agent": source.user_agent, "Accept-Encoding": ACCEPT_ENCODING},
        limits=httpx.Limits(max_connections=64),
        timeout=httpx.Timeout(source.timeout_s),
    )
    client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return client


class Fetcher:
    """Fetches URLs with one HTTP client; politeness is kept per host and port."""

    def __init__(self, client: httpx.AsyncClient, source: WebSource) -> None:
        self._client = client
        self._source = source
        self._addresses = Addresses(source.allow_private_addresses)
        self._robots = Robots(client, source.user_agent, self._addresses, source.timeout_s)
        self._slots: dict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(source.connections_per_host)
        )
        self._next_start: dict[str, float] = defaultdict(float)

    async def fetch(self, url: str) -> Fetched | RejectedUrl:
        """The response, or the reason why there is none. Never raises for what a server does."""
        if await self._addresses.refuses(url):
            return RejectedUrl(url, "private_address", host_of(url), "a public address")
        async with self._slots[host_of(url)]:
            robots = await self._robots.verdict(url)
            if not robots.allowed:
                return RejectedUrl(url, "robots", robots.reason, "allowed", robots.passing)
            for attempt in range(self._source.retries + 1):
                await self._wait_turn(host_of(url), max(self._source.delay_s, robots.delay_s))
                result = await self._request(url, robots.reason)
                if not _worth_retrying(result) or attempt == self._source.retries:
                    break
                await asyncio.sleep(_backoff_s(result, attempt))
        return _refused(result)

    async def _request(self, url: str, robots: str) -> Fetched | RejectedUrl:
        started, limit = datetime.now(UTC), self._source.max_page_bytes
        try:
            async with (
                asyncio.timeout(self._source.timeout_s),
                self._client.stream("GET", url) as response,
            ):
                body = await read_at_most(response, limit + 1)
        except TimeoutError:
            longest = f"{self._source.timeout_s:g} s"
            return RejectedUrl(url, "timed_out", f"over {longest}", longest, True)
        except httpx.DecodingError as error:
            return RejectedUrl(url, "undecodable", str(error), "gzip or no encoding")
        except httpx.InvalidURL as error:  # its own, or that of its redirect
            return RejectedUrl(url, "invalid_url", str(error), "a URL that can be fetched")
        except (httpx.HTTPError, UnicodeError) as error:
            return RejectedUrl(url, "unreachable", type(error).__name__, "a response", True)
        if len(body) > limit:
            return RejectedUrl(url, "too_large", f"over {limit} bytes", str(limit))
        headers = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in response.headers.raw]
        return Fetched(
            url, response.status_code, response.reason_phrase, headers, body, started, robots
        )

    async def _wait_turn(self, host: str, delay_s: float) -> None:
        start = max(time.monotonic(), self._next_start[host])
        self._next_start[host] = start + delay_s
        await asyncio.sleep(start - time.monotonic())


def _worth_retrying(result: Fetched | RejectedUrl) -> bool:
    return result.passing if isinstance(result, RejectedUrl) else result.status in _RETRIED


def _backoff_s(result: Fetched | RejectedUrl, attempt: int) -> float:
    if isinstance(result, Fetched):
        for name, value in result.headers:
            if name.lower() == "retry-after" and value.isdecimal():
                return min(float(value), _MAX_RETRY_AFTER_S)
    return 0.5 * 2.0**attempt


def _refused(result: Fetched | RejectedUrl) -> Fetched | RejectedUrl:
    """Turn a status that carries no page into a reject; redirects are the caller's."""
    if isinstance(result, RejectedUrl) or result.status == 200 or 300 <= result.status < 400:
        return result
    status = result.status
    return RejectedUrl(result.url, f"http_{status}", str(status), "200", status in _RETRIED)
