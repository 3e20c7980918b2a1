"""One page, asked for as a crawl does: by its robots.txt, policy, redirects and addresses."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing

from tasks.crawl.captures import Capture, RejectedUrl
from tasks.crawl.live.client import HttpClient
from tasks.crawl.live.fetch import Fetcher
from tasks.crawl.live.frontier import Queued
from tasks.crawl.live.reading import Reader, redirect
from tasks.crawl.sources.web import WebSource
from tasks.crawl.urls import Scope, canonical_url

_MAX_REDIRECTS = 10


def fetch_page(source: WebSource, url: str) -> Capture | RejectedUrl:
    """The page at `url`, or where it redirects to; or why a crawl of `source` would not keep it.

    Which URLs the source has in its scope is not asked. Raises ValueError for what is no http(s)
    URL.
    """
    return asyncio.run(_fetch(source, canonical_url(url)))


async def _fetch(source: WebSource, url: str) -> Capture | RejectedUrl:
    client = HttpClient(
        source.user_agent,
        timeout_s=source.timeout_s,
        allow_private=source.allow_private_addresses,
        languages=source.accept_language,
    )
    reader = Reader(source, Scope((url,), (), ()))
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        async with client:
            fetcher = Fetcher(client, source, db)
            for hop in range(_MAX_REDIRECTS + 1):
                fetched = await fetcher.fetch(url)
                if isinstance(fetched, RejectedUrl):
                    return fetched
                if fetched.response.status != 200:
                    location = fetched.response.header("location")
                    leads = redirect(url, location).links.pages
                    if not leads:
                        return RejectedUrl(url, "redirected", location or "no Location", "200")
                    url = leads[0]
                    continue
                # Of depth 1: at 0 a sitemap or feed would be read for its links.
                reading = reader.read(Queued(seq=hop, url=url, depth=1), fetched)
                if reading.capture is not None:
                    return reading.capture
                assert reading.reject is not None, "a response of status 200 is one or the other"
                return reading.reject
    return RejectedUrl(url, "redirected", f"over {_MAX_REDIRECTS} times in a row", "200")
