"""One polite request: per-host limits and delays, robots, size and time limits, retries."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpx

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


class _TooLarge(Exception):
    def __init__(self, seen: int) -> None:
        self.seen = seen


class Fetcher:
    """Fetches URLs with one HTTP client; politeness is kept per host and port."""

    def __init__(self, client: httpx.AsyncClient, source: WebSource) -> None:
        self._client = client
        self._source = source
        self._robots = Robots(client, source.user_agent)
        self._slots: dict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(source.connections_per_host)
        )
        self._next_start: dict[str, float] = defaultdict(float)
        self._private: dict[str, bool] = {}

    async def fetch(self, url: str) -> Fetched | RejectedUrl:
        """The response, or the reason why there is none. Never raises for what a server does."""
        if not self._source.allow_private_addresses and await self._is_private(url):
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
        started = datetime.now(UTC)
        try:
            async with (
                asyncio.timeout(self._source.timeout_s),
                self._client.stream("GET", url) as response,
            ):
                body = await self._read(response)
        except TimeoutError:
            limit = f"{self._source.timeout_s:g} s"
            return RejectedUrl(url, "timed_out", f"over {limit}", limit, True)
        except _TooLarge as error:
            limit = str(self._source.max_page_bytes)
            return RejectedUrl(url, "too_large", f"over {error.seen} bytes", limit)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return RejectedUrl(url, "unreachable", type(error).__name__, "a response", True)
        headers = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in response.headers.raw]
        return Fetched(
            url, response.status_code, response.reason_phrase, headers, body, started, robots
        )

    async def _read(self, response: httpx.Response) -> bytes:
        chunks: list[bytes] = []
        seen = 0
        async for chunk in response.aiter_bytes(65536):
            seen += len(chunk)
            if seen > self._source.max_page_bytes:
                raise _TooLarge(seen)
            chunks.append(chunk)
        return b"".join(chunks)

    async def _wait_turn(self, host: str, delay_s: float) -> None:
        start = max(time.monotonic(), self._next_start[host])
        self._next_start[host] = start + delay_s
        await asyncio.sleep(start - time.monotonic())

    async def _is_private(self, url: str) -> bool:
        host = urlsplit(url).hostname or ""
        if host not in self._private:
            loop = asyncio.get_running_loop()
            try:
                found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            except socket.gaierror:
                return False  # the request itself will say that there is no such host
            addresses = (ipaddress.ip_address(str(entry[4][0]).split("%")[0]) for entry in found)
            self._private[host] = any(not address.is_global for address in addresses)
        return self._private[host]


def _worth_retrying(result: Fetched | RejectedUrl) -> bool:
    return result.passing if isinstance(result, RejectedUrl) else result.status in _RETRIED


def _backoff_s(result: Fetched | RejectedUrl, attempt: int) -> float:
    if isinstance(result, Fetched):
        for name, value in result.headers:
            if name.lower() == "retry-after" and value.isdigit():
                return min(float(value), _MAX_RETRY_AFTER_S)
    return 0.5 * 2.0**attempt


def _refused(result: Fetched | RejectedUrl) -> Fetched | RejectedUrl:
    """Turn a status that carries no page into a reject; redirects are the caller's."""
    if isinstance(result, RejectedUrl) or result.status == 200 or 300 <= result.status < 400:
        return result
    status = result.status
    return RejectedUrl(result.url, f"http_{status}", str(status), "200", status in _RETRIED)
