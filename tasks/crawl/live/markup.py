"""The elements of a page that speak to a crawler: a, area, base, link, meta.

They are cut out of the page by two regular expressions, one that drops what is no markup (comments,
scripts, styles), one that finds their tags, and libxml2 reads these tags alone. On the 600 first
pages of libstdc++'s manual (57 KB, 370 such tags a page) that takes 1.2 ms; libxml2 took 3.4 ms to
hand over all elements, and more to build a tree. It also stays linear where trees do not: 100 000
attributes on one element take lxml's tree 15 s, and below 256 open elements it drops the rest.
What else was tried: selectolax (lexbor) is quadratic in open elements (20 000 nested divs 1 s,
300 000 minutes), and resiliparse's collections look each item up from the start (4 s for the 2 000
links of one page).

Pages in an encoding in which ASCII bytes may mean something else (UTF-16, ISO-2022-JP) are handed
to libxml2 whole.
"""

from __future__ import annotations

import codecs
import functools
import re
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from lxml import etree
from resiliparse.parse.encoding import detect_encoding

Attributes = dict[str, str]
"""By name, lower case."""

_MAX_ELEMENTS = 100_000  # of these, in one page

# Of a page that is parsed whole, an end tag that was never opened is looked for among all open
# elements, at 2.5 ns each: 300 000 below 300 000 took minutes. So it is fed in chunks, up to where
# too many elements are open.
_MAX_OPEN = 1_000  # 10 MB of such end tags take 4 s; Blink nests no more than 512
_CHUNK_BYTES = 16_384

_ASCII_BASED = re.compile(
    "utf-?8|us-ascii|ascii|iso-8859-[0-9]+|latin-?1|windows-125[0-9]|cp125[0-9]|koi8-[ru]|"
    "euc-(?:jp|kr)|gb2312|gbk|gb18030|big5|shift_jis",
    re.IGNORECASE,
)


def _any_case(names: str) -> str:
    """Match each of these names in any case: sets cost half as much as re's own IGNORECASE."""
    return "|".join("".join(f"[{c}{c.upper()}]" for c in name) for name in names.split())


# What is no markup ends where HTML says so, or with the page. Everything is possessive: no byte is
# read twice, whatever is left open. A look at the first letter spares most tags the rest.
_NO_MARKUP = re.compile(
    r"<(?=[!sStTxXiInN])(?:!--[^-]*+(?:-(?!->)[^-]*+)*+|"
    rf"({_any_case('script style title textarea xmp iframe noembed noframes')})[\s/>]"
    r"(?:[^<]++|<(?!/(?i:\1)))*+)".encode()
)
_TAG = re.compile(
    rf"<(?=[aAbBlLmM])(?:{_any_case('a area base link meta')})[\s/]"
    r"""(?!(?:(?:id|name)="[^"]*+"\s*+)++>)"""  # a place to be led to, which leads nowhere
    r"""(?:[^>"']++|"[^"]*+"|'[^']*+')*+>?""".encode()
)


@dataclass(frozen=True)
class Elements:
    """The elements of one page, each kind in page order."""

    anchors: list[Attributes] = field(default_factory=list)
    """Of a and area."""
    links: list[Attributes] = field(default_factory=list)
    metas: list[Attributes] = field(default_factory=list)
    bases: list[Attributes] = field(default_factory=list)


def elements(body: bytes, charset: str) -> Elements:
    """Find the a, area, base, link and meta elements of a page; whatever the bytes are, no error.

    `charset` is the one of the HTTP header. Where it names none, the page's own or a guess counts.
    """
    encoding = _encoding(body, charset)
    if _ASCII_BASED.fullmatch(encoding):
        parser, tags = _tag_parser(encoding.lower())
        tags.begin()
        # The tags that may say something, each spelling once.
        spellings = dict.fromkeys(_TAG.findall(_NO_MARKUP.sub(b" ", body)))
        with suppress(etree.LxmlError):
            etree.fromstring(b"<html>" + b"".join(spellings), parser)
        return tags.found
    collector = _CountingCollector()
    parser = _parser(encoding, collector)
    with suppress(etree.LxmlError):  # an empty page; what came before the error is kept
        for start in range(0, len(body), _CHUNK_BYTES):
            parser.feed(body[start : start + _CHUNK_BYTES])
            if collector.num_open > _MAX_OPEN:
                break
        parser.close()
    return collector.found


class _Collector:
    """What lxml calls while it parses."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begin another page."""
        found = self.found = Elements()
        self._kinds = {
            "a": found.anchors,
            "area": found.anchors,
            "link": found.links,
            "meta": found.metas,
            "base": found.bases,
        }

    def start(self, tag: str, attributes: Attributes) -> None:
        kind = self._kinds.get(tag)
        if kind is not None and len(kind) < _MAX_ELEMENTS:
            kind.append(attributes)

    def close(self) -> None:
        """The parser asks for it."""


_TAG_PARSERS = threading.local()


def _tag_parser(encoding: str) -> tuple[etree.HTMLParser, _Collector]:
    """Return this thread's parser of an encoding: those of `_ASCII_BASED` are few.

    It is used again: a new one looks at its target's methods, for 60 µs.
    """
    known: dict[str, tuple[etree.HTMLParser, _Collector]] = _TAG_PARSERS.__dict__
    if encoding not in known:
        collector = _Collector()
        known[encoding] = _parser(encoding, collector), collector
    return known[encoding]


_BOMS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16le",
    codecs.BOM_UTF16_BE: "utf-16be",
}


def _encoding(body: bytes, charset: str) -> str:
    """A byte order mark counts before all else: https://encoding.spec.whatwg.org/#bom-sniff"""
    for mark, encoding in _BOMS.items():
        if body.startswith(mark):
            return encoding
    if _is_known(charset):
        return charset
    guess = detect_encoding(body, from_html_meta=True) or ""
    return guess if _is_known(guess) else "utf-8"


@functools.lru_cache(256)
def _is_known(charset: str) -> bool:
    """Whether libxml2 knows this encoding; it knows other ones than Python (not `idna`)."""
    try:
        return bool(charset and _parser(charset, _Collector()))
    except (LookupError, ValueError):
        return False


class _CountingCollector(_Collector):
    num_open = 0

    def start(self, tag: str, attributes: Attributes) -> None:
        self.num_open += 1
        super().start(tag, attributes)

    def end(self, tag: str) -> None:
        self.num_open -= 1


def _parser(encoding: str, collector: Any) -> etree.HTMLParser:
    # A target has the methods it wants; the stubs ask for all of them.
    return etree.HTMLParser(
        encoding=encoding,
        target=collector,
        huge_tree=True,  # otherwise attributes and texts over 10 MB end the page
        collect_ids=False,
        remove_comments=True,
        remove_pis=True,
    )
