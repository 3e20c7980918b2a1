"""robots.txt by RFC 9309: 4xx allows, 5xx and unreachable disallow, at most 500 KiB are read.

Parsed by Protego, Scrapy's own parser, which knows wildcards and Crawl-delay.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import httpx
from protego import Protego

_MAX_BYTES = 500 * 1024


@dataclass(frozen=True)
class Verdict:
    """Whether a URL may be fetched, why, and how long its host wants us to wait in between."""

    allowed: bool
    reason: str
    delay_s: float = 0.0
    passing: bool = False


class Robots:
    """The robots.txt of every host of one crawl, fetched once each."""

    def __init__(self, client: httpx.AsyncClient, user_agent: str) -> None:
        self._client = client
        self._user_agent = user_agent
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
        delay = float(rules.crawl_delay(self._user_agent) or 0.0)
        if rules.can_fetch(url, self._user_agent):
            return Verdict(True, "allowed", delay)
        return Verdict(False, "disallowed", delay)

    async def _fetch(self, url: str) -> Protego | Verdict:
        try:
            response = await self._client.get(url, follow_redirects=True)
        except httpx.HTTPError as error:
            return Verdict(False, f"robots.txt unreachable ({type(error).__name__})", passing=True)
        if response.status_code >= 500:
            status = response.status_code
            return Verdict(False, f"robots.txt answered {status}", passing=True)
        if response.status_code >= 400:
            return Verdict(True, f"no robots.txt ({response.status_code})")
        return Protego.parse(response.content[:_MAX_BYTES].decode("utf-8", "replace"))
