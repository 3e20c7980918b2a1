"""robots.txt by RFC 9309: 4xx allows, 5xx and unreachable disallow, at most 500 KiB are read.

Parsed by Protego, Scrapy's own parser, which knows wildcards and Crawl-delay.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import httpx
from protego import Protego

from tasks.crawl.addresses import Addresses
from tasks.crawl.body import read_at_most

_MAX_BYTES = 500 * 1024
_MAX_REDIRECTS = 5  # RFC 9309 §2.3.1.2
_MAX_DELAY_S = 3600.0


@dataclass(frozen=True)
class Verdict:
    """Whether a URL may be fetched, why, and how long its host wants us to wait in between."""

    allowed: bool
    reason: str
    delay_s: float = 0.0
    passing: bool = False


class Robots:
    """The robots.txt of every host of one crawl, fetched once each."""

    def __init__(
        self, client: httpx.AsyncClient, user_agent: str, addresses: Addresses, timeout_s: float
    ) -> None:
        self._client = client
        self._user_agent = user_agent
        self._addresses = addresses
        self._timeout_s = timeout_s
        self._rules: dict[str, asyncio.Task[Protego | Verdict]] = {}

    async def verdict(self, url: str) -> Verdict:
        """Whether `url` may be fetched."""
        parts = urlsplit(url)
        root = urlunsplit((parts.scheme, parts.netloc, "/robots.txt", "", ""))
        if root not in self._rules:
            self._rules[root] = asyncio.create_task(self._fetch(root))
        rules = await self._rules[root]
        if isinstance(rules, Verdict):
            return rules
        delay = min(float(rules.crawl_delay(self._user_agent) or 0.0), _MAX_DELAY_S)
        if rules.can_fetch(url, self._user_agent):
            return Verdict(True, "allowed", delay)
        return Verdict(False, "disallowed", delay)

    async def _fetch(self, url: str) -> Protego | Verdict:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._follow(url)
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            return Verdict(False, f"robots.txt unreachable ({type(error).__name__})", passing=True)

    async def _follow(self, url: str) -> Protego | Verdict:
        for _ in range(_MAX_REDIRECTS + 1):
            if await self._addresses.refuses(url):
                return Verdict(False, "robots.txt at a private address")
            async with self._client.stream("GET", url) as response:
                if response.next_request is None:
                    return await _rules(response)
                url = str(response.next_request.url)
        return Verdict(False, f"robots.txt redirects over {_MAX_REDIRECTS} times")


async def _rules(response: httpx.Response) -> Protego | Verdict:
    status = response.status_code
    if status >= 500:
        return Verdict(False, f"robots.txt answered {status}", passing=True)
    if status >= 400:
        return Verdict(True, f"no robots.txt ({status})")
    return Protego.parse((await read_at_most(response, _MAX_BYTES)).decode("utf-8", "replace"))
