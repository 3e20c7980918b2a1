"""Pages that say "not found" with status 200, which servers without a 404 send for any URL.

A host is asked once, before its pages, for a page that it cannot have. What it sends with status
200 then is its "not found" page, and pages that look alike are rejects. It is noted in the
frontier: a crawl that goes on after a kill asks no more.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from urllib.parse import urljoin

from tasks.crawl.captures import Capture, RejectedUrl
from tasks.crawl.live.fetch import Fetched
from tasks.crawl.live.frontier import Frontier
from tasks.crawl.live.links import HTML_TYPES, media_type
from tasks.crawl.live.soft404 import THRESHOLD, SoftPage, alike, fingerprint, probe_path
from tasks.crawl.urls import host_of

Fetch = Callable[[str], Awaitable[Fetched | RejectedUrl]]


class NotFoundPages:
    """The "not found" pages of the hosts of one crawl."""

    def __init__(self, frontier: Frontier, fetch: Fetch, *, wanted: bool) -> None:
        self._frontier, self._fetch, self._wanted = frontier, fetch, wanted
        self._pages: dict[str, SoftPage] = {}

    async def learn(self, url: str) -> None:
        """Ask the host of `url` for a page that it cannot have, unless it was asked before."""
        if not self._wanted:
            return
        host = host_of(url)
        noted = self._frontier.note(_name(host))
        if noted is None:
            page = await self._ask(url, host)
            noted = json.dumps(None if page is None else sorted(page.shingles))
            self._frontier.note(_name(host), noted)
        shingles = json.loads(noted)
        if shingles is not None:
            self._pages[host] = SoftPage(frozenset(shingles))

    def judge(self, capture: Capture) -> RejectedUrl | None:
        """Reject a page that looks like its host's "not found" page."""
        page = self._pages.get(host_of(capture.url))
        if page is None:
            return None
        similarity = alike(fingerprint(capture.body, capture.url), page)
        if similarity < THRESHOLD:
            return None
        value = f"{similarity:.2f} alike to the host's page for a URL that it cannot have"
        return RejectedUrl(capture.url, "soft_404", value, f"{THRESHOLD:g}")

    async def _ask(self, url: str, host: str) -> SoftPage | None:
        wanted = urljoin(url, probe_path(host))
        found = await self._fetch(wanted)
        if isinstance(found, RejectedUrl) or found.response.status != 200:
            return None
        kind, _ = media_type(found.response.header("content-type"))
        return fingerprint(found.response.body, wanted) if kind in HTML_TYPES else None


def _name(host: str) -> str:
    return f"not found page of {host}"
