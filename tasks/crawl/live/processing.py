"""What becomes of a URL when its turn to be asked for comes: fetch, read, keep.

A response gives a page or a reject, and URLs to follow. A page that the crawl before had and that
is as it was is taken over from that crawl's WARC file, with the answer that said so as a `revisit`
record beside it.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import datetime

from storage.takedown import Forgotten
from tasks.crawl.captures import Capture, RejectedUrl, empty, reject_forgotten
from tasks.crawl.catalogue import Catalogue, FetchedPage
from tasks.crawl.live.client import Response
from tasks.crawl.live.fetch import NOT_MODIFIED, Fetched, Fetcher, open_client
from tasks.crawl.live.frontier import Frontier, Kind, Queued, State
from tasks.crawl.live.links import HTML_TYPES, LinkReader, PageLinks, media_type
from tasks.crawl.live.policy import obeyed, with_policy
from tasks.crawl.live.sitemaps import read_listing
from tasks.crawl.live.soft_404 import NotFoundPages
from tasks.crawl.previous_crawl import PreviousPages, checked, condition_of
from tasks.crawl.sources.web import WebSource
from tasks.crawl.urls import Scope, canonical_url, host_of

MAX_REDIRECTS = 10  # in a row; a site that redirects for ever is left there
_LISTING_TYPES = frozenset(
    {
        "application/xml",
        "text/xml",
        "application/rss+xml",
        "application/atom+xml",
        "application/feed+json",
        "application/rdf+xml",
        "application/gzip",
        "application/x-gzip",
    }
)


@dataclass(frozen=True)
class Links:
    """URLs that a response leads to, canonical, in its order."""

    pages: tuple[str, ...] = ()
    listings: tuple[str, ...] = ()
    redirect: bool = False
    """Whether `pages` is where a redirect leads: no step deeper."""

    def dumps(self) -> str:
        return json.dumps([self.pages, self.listings, self.redirect])

    @classmethod
    def loads(cls, text: str) -> Links:
        pages, listings, is_redirect = json.loads(text)
        return cls(tuple(pages), tuple(listings), is_redirect)


NO_LINKS = Links()


@dataclass(frozen=True)
class Reading:
    """What a response gives: a page, a reject or, for a sitemap or feed, neither."""

    capture: Capture | None = None
    reject: RejectedUrl | None = None
    links: Links = NO_LINKS


class Reader:
    """Reads the responses of one crawl."""

    def __init__(self, source: WebSource, scope: Scope) -> None:
        self._source, self._scope = source, scope
        self._links = LinkReader()
        self._obey = frozenset(source.politeness.obey)
        self._languages = frozenset(name.lower() for name in source.languages)

    def read(self, queued: Queued, fetched: Fetched) -> Reading:
        """Read a response; of its links, those in scope are given.

        A feed or sitemap may also lie on the host that names it.
        """
        reading = self._read(queued, fetched)
        links, here, admits = reading.links, host_of(fetched.url), self._scope.admits
        listings = (link for link in links.listings if host_of(link) == here or admits(link))
        pages = tuple(filter(admits, links.pages))
        return replace(reading, links=replace(links, pages=pages, listings=tuple(listings)))

    def _read(self, queued: Queued, fetched: Fetched) -> Reading:
        response = fetched.response
        if response.status != 200:
            return redirect(fetched.url, response.header("location"))
        kind, charset = media_type(response.header("content-type"))
        if queued.kind is Kind.LISTING or (queued.depth == 0 and kind in _LISTING_TYPES):
            listing = read_listing(response.body, fetched.url)
            urls = (*(url for url, _ in listing.urls), *self._translations(listing.alternates))
            return Reading(links=Links(urls, listing.sitemaps))
        if kind not in HTML_TYPES:
            found = kind or "no Content-Type"
            return Reading(reject=RejectedUrl(fetched.url, "not_html", found, "text/html"))
        if not response.body:
            return Reading(reject=empty(fetched.url))
        return self._page(queued, fetched, kind, charset)

    def _page(self, queued: Queued, fetched: Fetched, kind: str, charset: str) -> Reading:
        response = fetched.response
        capture = Capture(
            url=fetched.url,
            body=response.body,
            content_type=kind,
            charset=charset,
            fetched_at=fetched.fetched_at,
            status=response.status,
            reason=response.reason,
            headers=response.headers,
            etag=response.header("etag"),
            last_modified=response.header("last-modified"),
            depth=queued.depth,
            robots=fetched.robots,
        )
        page = self._links.read(capture.body, charset, capture.url)
        capture = with_policy(capture, page, fetched.policy)
        links = self._followed(page, capture.policy.split())
        reject = obeyed(capture, self._obey - {"nofollow"})
        return Reading(None if reject else capture, reject, links)

    def _followed(self, page: PageLinks, signals: Iterable[str]) -> Links:
        """Gather a page's links, canonical URL and translations, unless it wants none followed."""
        feeds = page.feeds if self._source.feeds else ()
        if "nofollow" in signals and "nofollow" in self._obey:
            return Links(listings=feeds)
        links = page.followed() if "nofollow" in self._obey else page.links
        named = (page.canonical,) if page.canonical else ()
        return Links((*named, *links, *self._translations(page.alternates)), feeds)

    def _translations(self, alternates: Iterable[tuple[str, str]]) -> list[str]:
        wanted = self._languages
        return [
            url
            for language, url in alternates
            if not wanted or language == "x-default" or language.partition("-")[0] in wanted
        ]


def redirect(url: str, location: str) -> Reading:
    """Read a redirect: a reject that leads on, if its target can be fetched at all."""
    with suppress(UnicodeDecodeError):  # most servers that send more than ASCII send UTF-8
        location = location.encode("latin-1").decode()
    reject = RejectedUrl(url, "redirected", location or "no Location", "200")
    try:
        target = canonical_url(location, url) if location else ""
    except ValueError:
        target = ""
    return Reading(reject=reject, links=Links((target,) if target else (), redirect=True))


@dataclass(frozen=True)
class Outcome:
    """What became of a URL that was asked for: `reject`, or it is kept."""

    queued: Queued
    links: Links
    reject: RejectedUrl | None = None
    new_bytes: int | None = None
    """Size of a page that this attempt kept."""
    settled: bool = False
    """Whether its links are queued already."""


class Processor:
    """Fetches URLs and keeps what comes, in one transaction each."""

    def __init__(
        self,
        catalogue: Catalogue,
        frontier: Frontier,
        fetcher: Fetcher,
        reader: Reader,
        previous: PreviousPages,
        not_found: NotFoundPages,
        forgotten: Forgotten,
        queue: Callable[[Queued, Links], None],
    ) -> None:
        self._catalogue, self._frontier = catalogue, frontier
        self._fetcher, self._reader, self._previous = fetcher, reader, previous
        self._not_found, self._forgotten = not_found, forgotten
        self._queue = queue

    async def process(self, queued: Queued, is_next: Callable[[], bool]) -> Outcome:
        """Deal with one URL; what becomes of it is safe against a kill when this returns.

        If its turn `is_next` by then, its links are queued in the same transaction: half of all
        transactions, and a tenth of the CPU of a page.
        """
        if queued.state is State.KEPT:  # by an attempt that was killed
            return Outcome(queued, Links.loads(self._frontier.held(queued)))
        known = self._previous.page(queued.url) if queued.kind is Kind.PAGE else None
        fetched, asked = await self._fetched(queued, known)
        if isinstance(fetched, RejectedUrl):
            reading = Reading(reject=fetched)
        else:
            reading = self._reader.read(queued, fetched)
            reject = None if reading.capture is None else self._not_found.judge(reading.capture)
            if reject is not None:  # a page that says "not found" leads nowhere
                reading = Reading(reject=reject)
        settled, new_bytes = is_next(), None
        with self._catalogue.transaction():
            if reading.capture is not None and isinstance(fetched, Fetched):
                self._keep(reading.capture, fetched, known, asked)
                new_bytes = len(reading.capture.body)
            if reading.reject is not None:
                self._catalogue.reject(reading.reject)
            if settled:
                self._queue(queued, reading.links)
            else:
                self._frontier.hold(queued, reading.links.dumps())
        return Outcome(queued, reading.links, reading.reject, new_bytes, settled)

    async def _fetched(
        self, queued: Queued, known: FetchedPage | None
    ) -> tuple[Fetched | RejectedUrl, bool]:
        """Get the response to a URL, or why there is none; and whether the host was asked."""
        rule = self._forgotten.covers(queued.url)
        if rule is not None:
            return reject_forgotten(queued.url, rule), False
        if known is not None and self._previous.is_idle(queued.url):
            forbidden = await self._fetcher.forbidden(queued.url)
            if forbidden is not None:
                return forbidden, False
            unasked = self._restored(known, [], known.checked_at, known.robots)
            if unasked is not None:
                return unasked, False
        return await self._ask(queued, known), True

    async def _ask(self, queued: Queued, known: FetchedPage | None) -> Fetched | RejectedUrl:
        """Ask for a page; one that is as it was, says the server, has the body that it had then."""
        condition = condition_of(known) if known is not None else {}
        fetched = await self._fetcher.fetch(queued.url, condition)
        if isinstance(fetched, RejectedUrl) or fetched.response.status != NOT_MODIFIED:
            return fetched
        assert known is not None
        headers = fetched.response.headers
        restored = self._restored(known, headers, fetched.fetched_at, fetched.robots)
        if restored is None:  # the earlier WARC file is gone
            return await self._fetcher.fetch(queued.url)
        return replace(restored, policy=fetched.policy, not_modified=fetched.response)

    def _restored(
        self, known: FetchedPage, headers: list[tuple[str, str]], at: datetime, robots: str
    ) -> Fetched | None:
        """Read the earlier response, with the headers of a 304 in place of its own.

        Source: RFC 9111 §3.2
        """
        found = self._previous.response(known)
        if found is None:
            return None
        stored, body = found
        newer = {name.lower() for name, _ in headers}
        merged = [pair for pair in stored if pair[0].lower() not in newer] + headers
        return Fetched(Response(known.url, known.status, "OK", merged, body, 0, 0.0), at, robots)

    def _keep(
        self, capture: Capture, fetched: Fetched, known: FetchedPage | None, asked: bool
    ) -> None:
        if known is None:
            self._catalogue.add(capture)
            return
        member = self._previous.member(known) if capture.digest == known.body_digest else None
        if member is None:
            checks, changes = known.num_checks + 1, known.num_changes + 1
            self._catalogue.add(replace(capture, num_checks=checks, num_changes=changes))
            return
        names = (
            *("content_type", "charset", "policy", "licence", "etag", "last_modified"),
            *("depth", "robots"),
        )
        page = replace(known, **{name: getattr(capture, name) for name in names})
        if not asked:
            self._catalogue.carry_over(page, member)
            return
        kept = self._catalogue.carry_over(checked(page, fetched.fetched_at), member)
        answer = fetched.not_modified or fetched.response
        self._catalogue.note_revisit(kept, answer.status, answer.reason, answer.headers)


def fetch_page(source: WebSource, url: str) -> Capture | RejectedUrl:
    """Fetch the page at `url`, or where it redirects to; or say why a crawl would not keep it.

    It is asked for as a crawl of `source` does: by robots.txt, policy, redirects and addresses.
    Which URLs the source has in its scope is not asked. Raises ValueError for what is no http(s)
    URL.
    """
    return asyncio.run(_fetch(source, canonical_url(url)))


async def _fetch(source: WebSource, url: str) -> Capture | RejectedUrl:
    reader = Reader(source, Scope((url,), (), ()))
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        async with open_client(source) as client:
            fetched = await landed(Fetcher(client, source, db), url)
    if isinstance(fetched, RejectedUrl):
        return fetched
    # Of depth 1: at 0 a sitemap or feed would be read for its links.
    reading = reader.read(Queued(seq=0, url=url, depth=1), fetched)
    found = reading.capture or reading.reject
    assert found is not None, "a response of status 200 is one or the other"
    return found


async def landed(fetcher: Fetcher, url: str) -> Fetched | RejectedUrl:
    """Fetch what is at `url` or where it redirects to, or why there is nothing."""
    for _ in range(MAX_REDIRECTS + 1):
        fetched = await fetcher.fetch(url)
        if isinstance(fetched, RejectedUrl) or fetched.response.status == 200:
            return fetched
        reading = redirect(url, fetched.response.header("location"))
        if not reading.links.pages:
            assert reading.reject is not None
            return reading.reject
        (url,) = reading.links.pages
    return RejectedUrl(url, "redirected", f"over {MAX_REDIRECTS} times in a row", "200")
