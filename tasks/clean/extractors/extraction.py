"""What every extractor gives, and what a page says of itself: date, authors, licence, address.

Nothing of that is guessed from text. It is read from the source by looking for the few tags that
say it, so that every extractor gives the same at the same price; trafilatura's own search takes
40 % more time, because it reads the text too. A tag in a comment says nothing; what is written in
an odd way (`<Meta`, `rel=author` without quotes) is not seen.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from html import unescape
from itertools import islice
from typing import Any
from urllib.parse import urljoin, urlsplit

_DATES = (
    *("article:published_time", "datepublished", "citation_publication_date", "citation_date"),
    *("citation_online_date", "dcterms.issued", "dc.date.issued", "dcterms.date", "dc.date"),
    *("parsely-pub-date", "pubdate", "date"),
)
_AUTHORS = (
    *("citation_author", "author", "dcterms.creator", "dc.creator", "parsely-author"),
    "article:author",
)
_LICENCES = ("dcterms.license", "dc.rights", "dcterms.rights")
_NAMES = frozenset((*_DATES, *_AUTHORS, *_LICENCES))
"""Of `meta` tags, in small letters; the surest first."""

_ATTRIBUTE = re.compile(r"""([a-zA-Z:_-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""")
_ISO = re.compile(r"\s*(\d{4})([-/.]?)(\d{2})\2(\d{2})(?!\d)")
_META = re.compile(r"<(?:meta|META)\s[^>]{0,2000}>")
_TIME = re.compile(r"<(?:time|TIME)\s[^>]{0,2000}>")
_LINK = re.compile(r"<(a|A|link|LINK)\s[^>]{0,2000}>")
_NAMED = re.compile(r"""\b(?:name|property|itemprop)\s*=\s*["']?([\w.:-]+)""", re.IGNORECASE)
_TAGS = re.compile(r"<[^>]*>")
_ARTICLE = re.compile(r"(?:Article|Posting)\Z")
_REPLIES = frozenset(("Comment", "Review", "Answer"))

_MAX_TAG, _MAX_JSON = 2_000, 200_000
"""Characters of a tag and of a block of JSON-LD; what is longer is passed over."""
_MAX_TAGS, _MAX_AUTHORS, _MAX_NAME = 500, 10, 200


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """Each may be empty."""

    date: str = ""
    """ISO 8601, as the page writes it: no time zone is reckoned with."""
    author: str = ""
    """Names, `; ` between them."""
    licence: str = ""
    """A URL."""
    canonical: str = ""
    """The URL that the page gives as its own; empty where that is the one it has."""


@dataclass(frozen=True)
class Extraction(Metadata):
    """Title and text of one page, either may be empty; the sandbox adds the metadata, whatever the
    extractor."""

    title: str
    text: str
    extractor: str = ""
    """The way that was chosen for the page; empty: the extractor has but one, its kind."""


def read_metadata(html: str, url: str) -> Metadata:
    """What the page at `url` says in `meta` tags, JSON-LD, `time` and links. Never raises."""
    end = html.find("</head")
    head = html[:end] if end > 0 else html  # a page may have none
    metas = _metas(head)
    works = _works(html)
    dates = [value for name in _DATES for value in metas.get(name, ())]
    dates += [text for work in works for text in _texts(work.get("datePublished"))]
    authors = [metas[name] for name in _AUTHORS if name in metas]
    authors += [_texts(work.get("author")) for work in works]
    licences = [_attributes(tag[0]).get("href", "") for tag in _links(html, "license")]
    licences += [text for work in works for text in _texts(work.get("license"))]
    licences += [value for name in _LICENCES for value in metas.get(name, ())]
    return Metadata(
        date=_first(map(_day, dates)) or _day(_time(html)),
        author=_first(map(_people, authors)) or _people(_related_names(html)),
        licence=_first(_absolute(licence, url) for licence in licences),
        canonical=_canonical(head, url),
    )


def _first(found: Iterator[str]) -> str:
    return next(filter(None, found), "")


def _is_comment(html: str, place: int) -> bool:
    """Whether a comment is open there; it is looked for in the 20 000 characters before."""
    first = max(place - 20_000, 0)
    opened = html.rfind("<!--", first, place)
    return opened >= 0 and html.find("-->", opened, place) < 0


def _metas(head: str) -> dict[str, list[str]]:
    """The contents of `meta` tags by name."""
    found: dict[str, list[str]] = {}
    for tag in islice(_META.finditer(head), _MAX_TAGS):
        named = _NAMED.search(tag[0])
        if named is None or named[1].lower() not in _NAMES or _is_comment(head, tag.start()):
            continue
        content = _attributes(tag[0]).get("content")
        if content:
            found.setdefault(named[1].lower(), []).append(content)
    return found


def _attributes(tag: str) -> dict[str, str]:
    return {key.lower(): unescape(a or b or c) for key, a, b, c in _ATTRIBUTE.findall(tag)}


def _works(html: str) -> list[dict[str, Any]]:
    """The page's own objects of JSON-LD, articles first: not comments or works within others."""
    found: list[dict[str, Any]] = []
    start = html.find("application/ld+json")
    while start >= 0:
        begin = html.find(">", start) + 1
        end = html.find("</script", begin)
        if not 0 < begin < end:
            break
        if end - begin < _MAX_JSON:
            found += _objects(html[begin:end])
        start = html.find("application/ld+json", end)
    return sorted(found, key=lambda work: not any(map(_ARTICLE.search, _types(work))))


def _objects(source: str) -> list[dict[str, Any]]:
    if not any(name in source for name in ("datePublished", '"author"', '"license"')):
        return []
    try:
        given = json.loads(source, strict=False)
    except (ValueError, RecursionError):
        return []
    roots = given if isinstance(given, list) else [given]
    roots = [root for root in roots if isinstance(root, dict)]
    graphs = [root["@graph"] for root in roots if isinstance(root.get("@graph"), list)]
    nodes = [node for graph in graphs for node in graph if isinstance(node, dict)]
    return [work for work in (*roots, *nodes) if _REPLIES.isdisjoint(_types(work))]


def _types(work: dict[str, Any]) -> list[str]:
    kinds = work.get("@type")
    return [str(kind) for kind in (kinds if isinstance(kinds, list) else [kinds])]


def _texts(value: Any) -> list[str]:
    """The text of a property: itself, its name or address, or those of several."""
    values = value if isinstance(value, list) else [value]
    found = []
    for one in values[:_MAX_AUTHORS]:
        text = (one.get("name") or one.get("@id")) if isinstance(one, dict) else one
        if isinstance(text, str):
            found.append(unescape(text))
    return found


def _day(said: str) -> str:
    """The day that a date begins with, if it is one: `2024-05-01T…`, `2024/05/01`, `20240501`."""
    found = _ISO.match(said)
    if found is None:
        return ""
    try:
        return date(int(found[1]), int(found[3]), int(found[4])).isoformat()
    except ValueError:
        return ""


def _time(html: str) -> str:
    """The day in a `time` tag that is marked as publication's, or in the only one of the page."""
    days = []
    for tag in islice(_TIME.finditer(html), _MAX_TAGS):
        attributes = _attributes(tag[0])
        if _is_comment(html, tag.start()):
            continue
        if attributes.get("itemprop", "").lower() == "datepublished":
            return attributes.get("datetime", "")
        days.append(attributes.get("datetime", ""))
    return days[0] if len(days) == 1 else ""


def _people(names: Sequence[str]) -> str:
    """Names, each once, in their order; an address is no name."""
    plain = (" ".join(name.split()) for name in names)
    kept = [name for name in plain if name and len(name) <= _MAX_NAME and "://" not in name]
    return "; ".join(list(dict.fromkeys(kept))[:_MAX_AUTHORS])


def _links(html: str, rel: str) -> Iterator[re.Match[str]]:
    """`a` and `link` tags of this relation, found by it: there are many links."""
    wanted = f'rel="{rel}"'
    place, num = html.find(wanted), 0
    while place >= 0 and num < _MAX_TAGS:
        num, start = num + 1, html.rfind("<", max(place - _MAX_TAG, 0), place)
        tag = _LINK.match(html, start) if start >= 0 else None
        if tag is not None and not _is_comment(html, start):
            yield tag
        place = html.find(wanted, place + len(wanted))


def _related_names(html: str) -> list[str]:
    """What links to the author are called."""
    found = []
    for tag in _links(html, "author"):
        end = html.find("</a", tag.end(), tag.end() + _MAX_TAG) if tag[1] in "aA" else -1
        if end > 0:
            found.append(unescape(_TAGS.sub("", html[tag.end() : end])))
    return found


def _canonical(head: str, url: str) -> str:
    """RFC 6596: the link of this relation, the first of several."""
    tags = (tag[0] for tag in _links(head, "canonical") if tag[1] in ("link", "LINK"))
    said = _first(_absolute(_attributes(tag).get("href", ""), url) for tag in tags)
    return said if said != url else ""


def _absolute(link: str, url: str) -> str:
    """A link as a web address, or nothing."""
    try:
        whole = urljoin(url, link.strip()) if "/" in link else ""
        return whole if urlsplit(whole).scheme in ("http", "https") else ""
    except ValueError:
        return ""
