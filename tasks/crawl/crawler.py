"""The crawl itself: frontier → fetch ahead → WARC → frontier, in one order."""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from storage.errors import SiteUnreachable
from storage.records import page_id
from storage.takedown import NOTHING, Forgotten
from storage.warc import WarcSegment
from tasks.crawl.fetch import Fetched, Fetcher, http_client
from tasks.crawl.frontier import FetchedPage, Frontier, Queued, RejectedUrl
from tasks.crawl.links import HTML_TYPES, media_type, page_links
from tasks.crawl.rewrite import reject_forgotten
from tasks.crawl.sources.web import WebSource
from tasks.crawl.urls import Scope, canonical_url
from tasks.crawl.watch import Watch
from tasks.progress import track

WARC_FILE = "pages.warc.gz"
_WINDOW = 32  # URLs fetched ahead of the one that is committed next
_MAX_REDIRECTS = 10  # in a row; a site that redirects for ever is left there


def crawl(source: WebSource, folder: Path, forgotten: Forgotten = NOTHING) -> None:
    """Crawl into `folder` (frontier.sqlite and warc/), going on where an earlier call stopped.

    URLs that are `forgotten` are rejects and are not asked for.
    Raises SiteUnreachable if not one page could be fetched, or a seed's site stops answering.
    """
    frontier = Frontier(folder / "frontier.sqlite")
    try:
        frontier.recover(folder / "warc")
        frontier.add([canonical_url(seed) for seed in source.seeds], 0)
        segment = WarcSegment(
            folder / "warc" / WARC_FILE, frontier.committed_bytes(WARC_FILE), source.user_agent
        )
        try:
            asyncio.run(_Crawl(source, frontier, segment, forgotten).run())
        finally:
            segment.close()
        if frontier.num_pages() == 0:
            raise SiteUnreachable(_unreachable(source, frontier))
    finally:
        frontier.close()


def _unreachable(source: WebSource, frontier: Frontier) -> str:
    reasons = [f"{r.url}: {r.reason} ({r.value})" for r in frontier.rejects()][:5]
    return (
        f"no page was fetched from {', '.join(source.seeds)} [{'; '.join(reasons)}]; expected at "
        "least one HTML page with status 200. Check the address, that the server runs, and what "
        "its robots.txt says; then run the same command again."
    )


@dataclass
class _Flight:
    queued: Queued
    response: asyncio.Task[Fetched | RejectedUrl]


class _Crawl:
    def __init__(
        self, source: WebSource, frontier: Frontier, segment: WarcSegment, forgotten: Forgotten
    ) -> None:
        self._forgotten = forgotten
        self._source = source
        self._frontier = frontier
        self._segment = segment
        self._scope = Scope(source.seeds, source.include, source.exclude)
        self._num_pages = frontier.num_pages()

    async def run(self) -> None:
        async with http_client(self._source) as client:
            fetcher = Fetcher(client, self._source)
            watch = Watch(self._source.seeds, fetcher.fetch)
            await self._drain(fetcher, watch)
            if 0 < self._num_pages < self._source.max_pages:
                await watch.close()

    async def _drain(self, fetcher: Fetcher, watch: Watch) -> None:
        """Keep a window of requests under way and commit their results in queue order."""
        window: deque[_Flight] = deque()
        last = 0
        with track("crawl", self._expected(), "pages", done=self._num_pages) as bar:
            try:
                while self._num_pages < self._source.max_pages:
                    room = min(_WINDOW, self._source.max_pages - self._num_pages) - len(window)
                    for queued in self._frontier.after(last, room) if room > 0 else ():
                        last = queued.seq
                        task = asyncio.create_task(self._fetch(fetcher, queued.url))
                        window.append(_Flight(queued, task))
                    if not window:
                        break
                    flight = window.popleft()
                    response = await flight.response
                    kept = self._commit(flight.queued, response)
                    await watch.saw(response)
                    bar.retarget(self._expected())
                    bar.advance(kept, waiting=self._frontier.num_waiting())
            finally:
                for flight in window:
                    flight.response.cancel()

    async def _fetch(self, fetcher: Fetcher, url: str) -> Fetched | RejectedUrl:
        rule = self._forgotten.covers(url)
        return await fetcher.fetch(url) if rule is None else reject_forgotten(url, rule)

    def _expected(self) -> int:
        return min(self._source.max_pages, self._num_pages + self._frontier.num_waiting())

    def _commit(self, queued: Queued, response: Fetched | RejectedUrl) -> int:
        """Store one result and queue what it links to; the number of pages it gave (0 or 1)."""
        result, links = self._digest(queued, response)
        follow = [link for link in links if self._scope.admits(link)]
        is_redirect = isinstance(result, RejectedUrl) and result.reason == "redirected"
        depth = queued.depth if is_redirect else queued.depth + 1
        redirects = queued.redirects + 1 if is_redirect else 0
        if depth > self._source.max_depth or redirects > _MAX_REDIRECTS:
            follow = []
        self._frontier.commit(result, follow, depth, redirects)
        self._num_pages += isinstance(result, FetchedPage)
        return int(isinstance(result, FetchedPage))

    def _digest(
        self, queued: Queued, response: Fetched | RejectedUrl
    ) -> tuple[FetchedPage | RejectedUrl, list[str]]:
        if isinstance(response, RejectedUrl):
            return response, []
        url = response.url
        headers = {name.lower(): value for name, value in response.headers}
        if response.status != 200:
            return _redirect(url, headers.get("location", ""))
        kind, charset = media_type(headers.get("content-type", ""))
        if kind not in HTML_TYPES:
            return RejectedUrl(url, "not_html", kind or "no Content-Type", "text/html"), []
        if not response.body:
            return RejectedUrl(url, "empty_body", "0 bytes", "1 byte"), []
        page = self._store(queued, response, kind, charset)
        return page, list(page_links(response.body, charset, url))

    def _store(self, queued: Queued, response: Fetched, kind: str, charset: str) -> FetchedPage:
        digest = hashlib.sha256(response.body).hexdigest()
        offset = self._segment.append(
            response.url,
            response.fetched_at,
            response.status,
            response.reason,
            response.headers,
            response.body,
        )
        return FetchedPage(
            url=response.url,
            page_id=page_id(response.url, digest),
            content_type=kind,
            charset=charset,
            body_digest=digest,
            num_bytes=len(response.body),
            fetched_at_ms=int(response.fetched_at.timestamp() * 1000),
            status=response.status,
            depth=queued.depth,
            robots=response.robots,
            warc_file=WARC_FILE,
            warc_offset=offset,
            warc_end=self._segment.size,
        )


def _redirect(url: str, location: str) -> tuple[RejectedUrl, list[str]]:
    with suppress(UnicodeDecodeError):  # most servers that send more than ASCII send UTF-8
        location = location.encode("latin-1").decode()
    reject = RejectedUrl(url, "redirected", location or "no Location", "200")
    try:
        return reject, [canonical_url(location, url)] if location else []
    except ValueError:
        return reject, []
