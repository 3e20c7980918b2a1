"""The URLs that a site lists by itself: sitemaps, indexes of them, and feeds.

XML is read by lxml as a stream, without a tree, entities (which could double without end) or
network. What follows an error that libxml2 cannot mend is lost, what stands before it is kept.

trafilatura's `sitemaps` and `feeds` fetch by themselves, without our robots.txt, pace and address
rules; their parsing keeps no dates, reads no gzip, and passes each URL through courlan's
`clean_url`, which drops pages. courlan itself reads no sitemaps.
Source: sitemaps.org/protocol.html; RFC 4287 (Atom); RSS 1.0 and 2.0; jsonfeed.org/version/1.1.
"""

from __future__ import annotations

import codecs
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from lxml import etree

from tasks.crawl.urls import canonical_url

MAX_URLS = 50_000  # of one file, as the protocol says
MAX_BYTES = 52_428_800  # of one file, unpacked: the protocol's 50 MB
_MAX_JSON_BYTES = 8_000_000  # Python's objects take 10 times that
_MAX_URL = 2_048  # characters; the protocol asks for fewer
_MAX_ALTERNATES = 1_000  # of one URL
_CHUNK_BYTES = 65_536

_ITEMS = frozenset({"url", "sitemap", "item", "entry"})
_DATES = ("lastmod", "updated", "pubDate", "published", "date")
_ABOUT = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}about"
_BARE_AMPERSAND = re.compile(rb"&(?!#?[A-Za-z0-9]{1,10};)")
_LINE = re.compile(rb"(?m)^[ \t]*(https?://[^\s]{1,%d})[ \t\r]*$" % _MAX_URL)


@dataclass(frozen=True)
class Listing:
    """What one file lists; every URL is canonical and stands once, in the order of the file.

    `urls` are pairs of URL and last change (as it is spelled there, or ""), `sitemaps` further
    files of an index, `alternates` pairs of language (lower case) and URL.
    """

    urls: tuple[tuple[str, str], ...] = ()
    sitemaps: tuple[str, ...] = ()
    alternates: tuple[tuple[str, str], ...] = ()


def read_listing(body: bytes, url: str) -> Listing:
    """Read what the sitemap or feed at `url` lists. Whatever the bytes are, this raises nothing."""
    plain = _unpacked(body)
    start = plain[:256].removeprefix(codecs.BOM_UTF8).lstrip()
    if start.startswith(b"{"):
        return _listing(_json_items(plain), url)
    if start.startswith((b"<", codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return _listing(_xml_items(plain), url)
    return _listing(_text_items(plain), url)


def _unpacked(body: bytes) -> bytes:
    """Unpack at most MAX_BYTES of what gzip packed, up to where a file is cut off."""
    if not body.startswith(b"\x1f\x8b"):
        return body[:MAX_BYTES]
    with suppress(zlib.error):
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(body, MAX_BYTES)
    return b""


@dataclass
class _Item:
    tag: str
    location: str = ""
    fallback: str = ""  # a guid or an id is a URL more often than not
    changed: str = ""
    alternates: list[tuple[str, str]] = field(default_factory=list)


def _listing(items: Iterable[_Item], base: str) -> Listing:
    urls: dict[str, str] = {}
    sitemaps: dict[str, None] = {}
    alternates: dict[tuple[str, str], None] = {}
    for item in islice(items, MAX_URLS):
        if url := _canonical(item.location or item.fallback, base):
            if item.tag == "sitemap":
                sitemaps[url] = None
            else:
                urls.setdefault(url, item.changed)
        for language, target in item.alternates[: MAX_URLS - len(alternates)]:
            if other := _canonical(target, base):
                alternates[language, other] = None
    return Listing(tuple(urls.items()), tuple(sitemaps), tuple(alternates))


def _canonical(url: str, base: str) -> str:
    if 0 < len(url) <= _MAX_URL:
        with suppress(ValueError):
            return canonical_url(url, base)
    return ""


def _text_items(body: bytes) -> Iterator[_Item]:
    """Read one URL per line."""
    for match in _LINE.finditer(body.removeprefix(codecs.BOM_UTF8)):
        yield _Item("url", match[1].decode("utf-8", "replace"))


def _json_items(body: bytes) -> Iterator[_Item]:
    try:
        feed: Any = json.loads(body[:_MAX_JSON_BYTES])
    except (ValueError, RecursionError):
        return
    items = feed.get("items")
    for item in items if isinstance(items, list) else ():
        if isinstance(item, dict):
            told = {key: value for key, value in item.items() if isinstance(value, str)}
            changed = told.get("date_modified", told.get("date_published", ""))
            yield _Item("item", told.get("url", ""), _if_url(told.get("id", "")), changed)


def _if_url(text: str) -> str:
    return text if text.startswith(("http://", "https://")) else ""


def _xml_items(body: bytes) -> Iterator[_Item]:
    collector = _Collector()
    target: Any = collector  # it has the methods it wants; the stubs ask for all of them
    parser = etree.XMLParser(
        target=target,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        recover=True,
        remove_comments=True,
        remove_pis=True,
        collect_ids=False,
    )
    mended = _mended(body)
    with suppress(etree.LxmlError):
        for start in range(0, len(mended), _CHUNK_BYTES):
            parser.feed(mended[start : start + _CHUNK_BYTES])
            yield from collector.taken()
        parser.close()
    yield from collector.taken()


def _mended(body: bytes) -> bytes:
    """Escape `?a=1&b=2`, of which libxml2 keeps `?a=1`; in CDATA it stands rightly so."""
    if b"<![CDATA[" in body or b"\0" in body:  # UTF-16 has NULs
        return body
    return _BARE_AMPERSAND.sub(b"&amp;", body)


class _Collector:
    """What lxml calls while it parses: gathers the children of each item, and nothing deeper."""

    def __init__(self) -> None:
        self._items: list[_Item] = []
        self._item: _Item | None = None
        self._depth = 0  # below the item
        self._texts: list[str] = []
        self._attributes: dict[str, str] = {}

    def taken(self) -> list[_Item]:
        """Return the items finished since the last call."""
        items, self._items = self._items, []
        return items

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition("}")[2]
        if self._item is not None and self._item.tag == name:
            self._finish()  # one that was never closed
        if self._item is None:
            if name in _ITEMS:
                self._item, self._depth = _Item(name, fallback=attributes.get(_ABOUT, "")), 0
            return
        self._depth += 1
        if self._depth == 1:
            self._texts, self._attributes = [], dict(attributes)

    def data(self, text: str) -> None:
        if self._depth == 1 and self._item is not None:
            self._texts.append(text)

    def end(self, tag: str) -> None:
        if self._item is None:
            return
        name = tag.rpartition("}")[2]
        if self._depth == 0 or name == self._item.tag:
            self._finish()
            return
        if self._depth == 1:
            _note(self._item, name, "".join(self._texts).strip(), self._attributes)
        self._depth -= 1

    def close(self) -> None:
        """The parser asks for it."""

    def _finish(self) -> None:
        if self._item is not None:
            self._items.append(self._item)
        self._item, self._depth = None, 0


def _note(item: _Item, name: str, text: str, attributes: dict[str, str]) -> None:
    """Take what one child of an item says."""
    if name == "loc":
        item.location = item.location or text
    elif name == "link":
        _note_link(item, text, attributes)
    elif name in ("guid", "id") and attributes.get("isPermaLink") != "false":
        item.fallback = item.fallback or _if_url(text)
    elif name in _DATES:
        item.changed = item.changed or text[:64]


def _note_link(item: _Item, text: str, attributes: dict[str, str]) -> None:
    """Take a link: RSS has the URL as text, Atom as href, a sitemap other languages."""
    href = attributes.get("href", "")
    if attributes.get("rel", "alternate") != "alternate":
        return
    if item.tag == "url":
        language = attributes.get("hreflang", "").strip().lower()
        if language and href and len(item.alternates) < _MAX_ALTERNATES:
            item.alternates.append((language, href))
    else:
        item.location = item.location or text or href
