"""What a page says of other pages and of itself: links, feeds, languages, robots, licence."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message

from tasks.crawl.live.markup import Attributes, Elements, elements
from tasks.crawl.urls import canonical_url

HTML_TYPES = frozenset({"text/html", "application/xhtml+xml"})

_FEED_TYPES = frozenset(
    {"application/rss+xml", "application/atom+xml", "application/rdf+xml", "application/feed+json"}
)
_LICENCE_NAMES = frozenset({"dcterms.license", "dcterms.rights", "dc.rights", "dc.rights.license"})
_NO_PAGE = ("mailto:", "javascript:", "data:", "tel:")
_MAX_HREF = 8_192  # characters; a server is asked to take 8 000 (RFC 9110 §4.1)
_MAX_CACHED_HREF = 512
_MAX_PAGE_HREFS = 2_000_000  # characters of one page's links; hostile escapes take 0.7 µs each

# What a link is relative to: its page's folder, its page's host, or (neither) all of its page.
# Characters that urlsplit takes out of the middle of a URL make it neither.
_BY_FOLDER = re.compile(r"[\w.~%-][^:?]*(?:\?|\Z)")
_BY_HOST = re.compile(r"/(?![/\s])|(?:https?:)?//[^/?\s]")


@dataclass(frozen=True)
class PageLinks:
    """All that a page's markup says to a crawler. Every URL is canonical and stands once.

    `nofollow` are those of `links` that every anchor calls rel=nofollow; `alternates` are pairs of
    language (lower case) and URL. `robots` and `tdm` are as the page spells them; `robots`
    joins the meta elements for robots and for our agent.
    """

    links: tuple[str, ...] = ()
    nofollow: frozenset[str] = frozenset()
    canonical: str = ""
    alternates: tuple[tuple[str, str], ...] = ()
    feeds: tuple[str, ...] = ()
    robots: str = ""
    tdm: str = ""
    licence: str = ""

    def followed(self) -> tuple[str, ...]:
        """Return the links in page order, without those that ask not to be followed."""
        return tuple(link for link in self.links if link not in self.nofollow)


@functools.lru_cache(256)
def media_type(header: str) -> tuple[str, str]:
    """Split a Content-Type header: media type and charset, lower case, either may be empty."""
    message = Message()
    message["Content-Type"] = header
    return message.get_content_type() if header else "", str(message.get_param("charset") or "")


class LinkReader:
    """Reads pages, and remembers how links are spelled: a site's pages share most of theirs.

    For use from one thread.
    """

    def __init__(self, agent: str = "phusa", max_cached: int = 65_536) -> None:
        self._robots_names = frozenset({"robots", agent.lower()})
        self._shared: dict[tuple[str, str], str] = {}  # by href and folder
        self._max_cached = max_cached

    def read(self, body: bytes, charset: str, url: str) -> PageLinks:
        """Read what the page at `url` says. Whatever the bytes are, this raises nothing."""
        found = elements(body, charset)
        base = _base(found.bases, url)
        if not base:
            return PageLinks()
        spell = functools.partial(self._spell, _Base.of(base))
        links = _links(found.anchors, spell)
        metas, feeds = _metas(found.metas), filter(_is_feed, found.links)
        return PageLinks(
            links=tuple(links),
            nofollow=frozenset(link for link, shunned in links.items() if shunned),
            canonical=next(_related(found.links, "canonical", spell), ""),
            alternates=tuple(dict.fromkeys(_languages(found.links, spell))),
            feeds=tuple(dict.fromkeys(_related(feeds, "alternate", spell))),
            robots=", ".join(text for name, text in metas if name in self._robots_names),
            tdm=next((text for name, text in metas if name == "tdm-reservation"), ""),
            licence=_licence(found, metas, spell),
        )

    def _spell(self, base: _Base, href: str) -> str:
        """Return the canonical URL, or "" for what is no http(s) URL or the page itself."""
        link = href.partition("#")[0]
        spelled = self._shared.get((link, base.folder))
        if spelled is not None:
            return spelled
        if link[-1:].isspace() and len(link) < len(href):  # a space before "#" belongs to the URL
            return _spelled(href.strip(), base.url) if link.strip() else ""
        link = link.strip()
        if not link or len(link) > _MAX_HREF or link[:11].lower().startswith(_NO_PAGE):
            return ""
        against = base.against(link)
        spelled = _spelled(link, against)
        if against is not base.url and len(link) <= _MAX_CACHED_HREF:
            if len(self._shared) >= self._max_cached:
                self._shared.clear()
            self._shared[link, base.folder] = spelled
        return spelled


@dataclass(frozen=True)
class _Base:
    url: str
    host: str
    folder: str

    @classmethod
    def of(cls, url: str) -> _Base:
        """Split a canonical URL: it has a path, and `;` and `..` are gone from it."""
        path = url.partition("?")[0]
        return cls(url, url[: url.index("/", 8) + 1], path[: path.rindex("/") + 1])

    def against(self, link: str) -> str:
        """Return as little of the page's URL as decides what `link` means: others share it."""
        if _BY_FOLDER.match(link):
            return self.folder
        return self.host if _BY_HOST.match(link) else self.url


_Spell = Callable[[str], str]


def _spelled(link: str, base: str) -> str:
    try:
        return canonical_url(link, base)
    except ValueError:
        return ""


def _base(bases: list[Attributes], url: str) -> str:
    """Find what links are relative to: the first `base` that is a URL, else the page's own."""
    for attributes in bases:
        if "href" in attributes:
            with suppress(ValueError):
                return canonical_url(attributes["href"], url)
    return _spelled(url, "")


def _links(anchors: list[Attributes], spell: _Spell) -> dict[str, bool]:
    """Return the links in page order, and whether all anchors of one say nofollow."""
    hrefs: dict[str, bool] = {}
    for attributes in anchors:
        if href := attributes.get("href"):
            shunned = "rel" in attributes and "nofollow" in _words(attributes["rel"])
            hrefs[href] = hrefs.get(href, True) and shunned
    links: dict[str, bool] = {}
    num_chars = 0
    for href, shunned in hrefs.items():
        num_chars += min(len(href), _MAX_HREF)
        if num_chars <= _MAX_PAGE_HREFS and (link := spell(href)):
            links[link] = links.get(link, True) and shunned
    return links


def _words(text: str) -> list[str]:
    return text.lower().split()


def _related(notes: Iterable[Attributes], rel: str, spell: _Spell) -> Iterator[str]:
    for note in notes:
        if rel in _words(note.get("rel", "")) and (url := spell(note.get("href", ""))):
            yield url


def _is_feed(note: Attributes) -> bool:
    return note.get("type", "").partition(";")[0].strip().lower() in _FEED_TYPES


def _languages(notes: Iterable[Attributes], spell: _Spell) -> Iterator[tuple[str, str]]:
    for note in notes:
        if (language := note.get("hreflang", "").strip().lower()) and not _is_feed(note):
            for url in _related([note], "alternate", spell):
                yield language, url


def _metas(metas: list[Attributes]) -> list[tuple[str, str]]:
    """Return name, lower case, and content of the meta elements that have both."""
    named = (
        (meta.get("name", meta.get("property", "")), meta.get("content", "")) for meta in metas
    )
    return [(name.strip().lower(), text.strip()) for name, text in named if name and text]


def _licence(found: Elements, metas: list[tuple[str, str]], spell: _Spell) -> str:
    """Find rel=license or microdata's `license` of a link, else Dublin Core's meta if a URL.

    JSON-LD's is left out: it would need the text of scripts, and often is an image's.
    """
    related = (of for of in (*found.links, *found.anchors) if "rel" in of or "itemprop" in of)
    marked = (attributes["href"] for attributes in related if _is_licence(attributes))
    terms = (text for name, text in metas if name in _LICENCE_NAMES and "://" in text)
    return next(filter(None, map(spell, itertools.chain(marked, terms))), "")


def _is_licence(attributes: Attributes) -> bool:
    return "href" in attributes and any(
        "license" in _words(attributes[key]) for key in ("rel", "itemprop") if key in attributes
    )
