"""A response to what it gives: a page, a reject, and URLs to follow."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from tasks.crawl.captures import Capture, RejectedUrl
from tasks.crawl.live.fetch import Fetched
from tasks.crawl.live.frontier import Kind, Queued
from tasks.crawl.live.links import HTML_TYPES, LinkReader, PageLinks, media_type
from tasks.crawl.live.policy import licence_of, obeyed, page_policy
from tasks.crawl.live.sitemaps import Listing, read_listing
from tasks.crawl.sources.web import WebSource
from tasks.crawl.urls import Scope, canonical_url, host_of

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


@dataclass(frozen=True)
class Reading:
    """What became of one URL: a page, a reject or, for a sitemap or feed, neither."""

    capture: Capture | None = None
    reject: RejectedUrl | None = None
    links: Links = field(default_factory=Links)


class Reader:
    """Reads the responses of one crawl."""

    def __init__(self, source: WebSource, scope: Scope) -> None:
        self._source, self._scope = source, scope
        self._links = LinkReader()
        self._obey = frozenset(source.politeness.obey)
        self._languages = frozenset(name.lower() for name in source.languages)

    def read(self, queued: Queued, fetched: Fetched) -> Reading:
        """What a response gives; of its links, those in scope."""
        reading = self._read(queued, fetched)
        return replace(reading, links=self._in_scope(reading.links, fetched.url))

    def _in_scope(self, links: Links, url: str) -> Links:
        """A feed or sitemap may also lie on the host that names it."""
        here, admits = host_of(url), self._scope.admits
        listings = (link for link in links.listings if host_of(link) == here or admits(link))
        return replace(links, pages=tuple(filter(admits, links.pages)), listings=tuple(listings))

    def _read(self, queued: Queued, fetched: Fetched) -> Reading:
        response = fetched.response
        if response.status != 200:
            return redirect(fetched.url, response.header("location"))
        kind, charset = media_type(response.header("content-type"))
        if queued.kind is Kind.LISTING or (queued.depth == 0 and kind in _LISTING_TYPES):
            return Reading(links=self._listed(read_listing(response.body, fetched.url)))
        if kind not in HTML_TYPES:
            found = kind or "no Content-Type"
            return Reading(reject=RejectedUrl(fetched.url, "not_html", found, "text/html"))
        if not response.body:
            return Reading(reject=RejectedUrl(fetched.url, "empty_body", "0 bytes", "1 byte"))
        return self._page(queued, fetched, kind, charset)

    def _page(self, queued: Queued, fetched: Fetched, kind: str, charset: str) -> Reading:
        response, url = fetched.response, fetched.url
        page = self._links.read(response.body, charset, url)
        signals = page_policy(
            response.headers,
            page,
            now=fetched.fetched_at,
            host=fetched.policy,
            path=urlsplit(url).path or "/",
        )
        links = self._followed(page, signals)
        forbidden = obeyed(signals, self._obey - {"nofollow"})
        if forbidden is not None:
            reject = RejectedUrl(url, "policy", forbidden, "no such signal")
            return Reading(reject=reject, links=links)
        capture = Capture(
            url=url,
            body=response.body,
            content_type=kind,
            charset=charset,
            fetched_at=fetched.fetched_at,
            status=response.status,
            reason=response.reason,
            headers=response.headers,
            policy=" ".join(signals),
            licence=licence_of(response.headers, page, url),
            etag=response.header("etag"),
            last_modified=response.header("last-modified"),
            depth=queued.depth,
            robots=fetched.robots,
        )
        return Reading(capture=capture, links=links)

    def _followed(self, page: PageLinks, signals: Iterable[str]) -> Links:
        """A page's links with its canonical URL and translations, unless it wants none followed."""
        feeds = page.feeds if self._source.feeds else ()
        if "nofollow" in signals and "nofollow" in self._obey:
            return Links(listings=feeds)
        links = page.followed() if "nofollow" in self._obey else page.links
        named = (page.canonical,) if page.canonical else ()
        return Links((*named, *links, *self._translations(page.alternates)), feeds)

    def _listed(self, listing: Listing) -> Links:
        urls = [url for url, _ in listing.urls]
        return Links((*urls, *self._translations(listing.alternates)), listing.sitemaps)

    def _translations(self, alternates: Iterable[tuple[str, str]]) -> list[str]:
        wanted = self._languages
        return [
            url
            for language, url in alternates
            if not wanted or language == "x-default" or language.partition("-")[0] in wanted
        ]


def redirect(url: str, location: str) -> Reading:
    """A redirect: a reject that leads on, if its target can be fetched at all."""
    with suppress(UnicodeDecodeError):  # most servers that send more than ASCII send UTF-8
        location = location.encode("latin-1").decode()
    reject = RejectedUrl(url, "redirected", location or "no Location", "200")
    try:
        target = canonical_url(location, url) if location else ""
    except ValueError:
        target = ""
    return Reading(reject=reject, links=Links((target,) if target else (), redirect=True))
