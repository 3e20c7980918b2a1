"""What the fuzzing starts from: nasty pages, pages by grammar, real ones if there are any."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from tests.tasks.clean.measures import ARTICLES
from tests.tasks.clean.pii.test_kinds import LEFT, TAKEN

DOCUMENTATION = Path("/usr/share/doc")
"""Of Debian's packages: manuals in some twenty languages, where they are installed."""
_MOST_REAL = 240  # of each kind
_MOST_BYTES = 40_000

PROSE = (
    "The river that runs past our town begins with a spring in the hills, and people walk there. ",
    "Hôm nay trời đẹp, chúng tôi đi dạo trong công viên rồi ăn phở với bạn bè. ",
    "Das ist der Fluss, an dem die Stadt liegt, und nicht der mit der Brücke. ",
    "Вода в реке холодная, и это не то, что было как раньше. ",
    "川の水は町を流れて、石の橋が道にある。",
    "แม่น้ำ ที่ ไหล และ การ ของ เมือง ใน นี้ ",
    "النهر في المدينة من الجبل إلى البحر هو هذا. ",
    "def flow(x):\n    return {'a': [x] * 3}  # see [12]\n",
    "# Heading\n\n- item\n- item\n\n> quote\n\n```\ncode\n```\n",
    "We use cookies. Read our privacy policy. Please enable JavaScript. [edit] ",
)
PERSONAL = tuple(text.replace("[", "").replace("]", "") for _, text in (*TAKEN, *LEFT))

FLOODS = {
    "control": "".join(map(chr, range(32))) + "\x7f\x85\x9f",
    "bidi": "\u202e\u2066\u200f\u061c\u2069",
    "combining": "e\u0301\u0323\u0338\u0344\u0300",
    "joiners": "\u200b\u200d\ufeff\u2060\u00ad",
    "breaks": "\r\n\u2028\u2029\x0b\x0c\x85",
    "spaces": "\xa0\u3000\u202f \t",
    "hangul": "\u1100\u1161\u11a8",
    "astral": "\U0001f469\u200d\U0001f4bb\U00020000\U000e0041",
    "special": "\ufffd\ufffe\uffff\ufdd0",
    "folding": "\u0130\ufb03\u1e9e\u0390",
}
"""Characters that text is full of where something went wrong, or somebody tried."""

_TAGS = (
    *("div", "p", "span", "b", "a", "ul", "li", "ol", "dl", "dt", "dd", "table", "tr", "td", "th"),
    *("pre", "code", "blockquote", "h1", "h2", "h6", "article", "main", "section", "nav", "form"),
    *("header", "footer", "aside", "figure", "figcaption", "br", "hr", "img", "input", "button"),
    *("select", "option", "textarea", "script", "style", "noscript", "template", "iframe", "svg"),
    *("math", "title", "head", "body", "html", "frameset", "base", "meta", "link", "plaintext"),
    *("xmp", "noframes", "ruby", "rt", "details", "summary", "tbody", "caption", "colgroup", "q"),
    *("x-y", "a:b", "object", "embed", "video", "math", "mi", "foreignObject", "center", "font"),
)
_NAMES = (
    *("content", "article-body", "post", "sidebar", "comments", "share", "nav", "footer", "meta"),
    *("line", "linenos", "highlight", "toc", "hidden", "reply-1", "entry-content", "story"),
)
_HEAD_ENTITIES = ("&#0;", "&#xD800;", "&#x110000;", "&#13;", "&#x80;", "&amp", "&nbsp;", "&#xFFFE;")
_MORE_ENTITIES = ("&NotEqualTilde;", "&bogus;", "&#;", "&", "&lt;b&gt;", "&#xDC00;&#xD83D;", "&#x;")
ENTITIES = (*_HEAD_ENTITIES, *_MORE_ENTITIES)


def _repeated(piece: str, num: int) -> Callable[[random.Random], bytes]:
    return lambda chance: (piece * chance.randrange(1, num)).encode("utf-8", "surrogatepass")


def _closed(num: int) -> bytes:
    return b"<div>" * num + b"in" + b"</div>" * num + b"out"


NASTY: Mapping[str, Callable[[random.Random], bytes]] = {
    "empty": lambda chance: b"",
    "spaces": _repeated(" \n\t", 400),
    "deep": _repeated("<div>", 4_000),
    "deep_inline": _repeated("<b><i><a href=x>", 1_000),
    "deep_table": _repeated("<table><tr><td>", 600),
    "deep_lists": _repeated("<ul><li>", 1_500),
    "deep_quotes": _repeated("<blockquote>a", 1_500),
    "deep_closed": lambda chance: _closed(chance.randrange(3_000)),
    "misnested": _repeated("<b><p></b></p><a><table></a><form></table>", 150),
    "colspan": lambda chance: (
        b"<table><tr><td colspan=9007199254740991 rowspan=%d>a</table>text"
        % chance.choice((1, -1, 65534, 1 << 31, 1 << 63))
    ),
    "cells": _repeated("<tr><td>a<td>b", 1_500),
    "attributes": lambda chance: (
        b"<p %s>text" % b" ".join(b"a%d=%d" % (n, n) for n in range(chance.randrange(4_000)))
    ),
    "long_attribute": _repeated("<div class='share content '", 600),
    "one_tag": _repeated("<", 8_000),
    "closing": _repeated("</p></div>", 2_000),
    "comments": _repeated("<!-- never closed ", 800),
    "declarations": _repeated(
        "<!DOCTYPE><?xml version='1.0' encoding='utf-32'?><![CDATA[x]]>", 200
    ),
    "entity_bomb": lambda chance: (
        b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "aaaaaaaaaa">'
        b'<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><html><p>&b;</html>'
    ),
    "entities": lambda chance: "".join(
        chance.choice(ENTITIES) for _ in range(chance.randrange(2_000))
    ).encode(),
    "one_word": _repeated("x", 40_000),
    "one_line": _repeated("a river and its silt ", 2_000),
    "digits": _repeated("1234567890", 2_000),
    "dashes": _repeated("1-", 5_000),
    "pieces_of_addresses": _repeated("a.b+c@", 3_000),
    "hosts": _repeated("2001:db8::", 2_000),
    "curly": _repeated("{[(", 3_000),
    "breaks": _repeated("a<br>", 4_000),
    "links": _repeated("<a href=x>one</a> ", 1_000),
    "binary": lambda chance: chance.randbytes(chance.randrange(6_000)),
    "png": lambda chance: b"\x89PNG\r\n\x1a\n" + chance.randbytes(chance.randrange(6_000)),
    "pdf": lambda chance: b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + chance.randbytes(900),
    "gzip": lambda chance: gzip.compress(chance.randbytes(3_000), mtime=0),
    "json": _repeated('{"a": [1, 2, {"b": "<p>text</p>"}]},', 300),
    "code": _repeated("for (i = 0; i < n; ++i) { a[i] <<= 1; }\n", 300),
    "mixed": lambda chance: (
        "<meta charset=utf-8><p>".encode("utf-16") + "é".encode("latin-1") * 40 + b"\xff<p>caf\xc3"
    ),
    "surrogates": lambda chance: ("<p>\ud83d\ude00\ud83d" * 50).encode(
        "utf-16-le", "surrogatepass"
    ),
    "wtf8": _repeated("<p>\ud800a\udfff", 900),
    "overlong": lambda chance: b"<p>\xc0\xbcp\xc0\xbe\xe0\x80\xaf\xf4\x90\x80\x80" * 200,
    "escapes": lambda chance: b"<p>\x1b$B\x1b(J~\x0e\x0f\x1b%G" * 200,
}
"""Whole pages by what is wrong with them; the number of repeats is drawn."""


def _text(chance: random.Random) -> str:
    draw = chance.random()
    if draw < 0.6:
        return chance.choice(PROSE) * chance.randrange(1, 6)
    if draw < 0.75:
        return f"{chance.choice(PERSONAL)} "
    if draw < 0.85:
        return chance.choice(ENTITIES)
    flood = chance.choice(tuple(FLOODS.values()))
    return "".join(chance.choice(flood) for _ in range(chance.randrange(1, 60)))


def by_grammar(chance: random.Random) -> bytes:
    """A page of elements in elements, some of them never closed."""
    pieces = ["<!DOCTYPE html><html><head><title>", _text(chance), "</title></head><body>"]
    _grow(chance, pieces, 0)
    return "".join(pieces).encode("utf-8", "surrogatepass")


def _grow(chance: random.Random, pieces: list[str], depth: int) -> None:
    for _ in range(chance.randrange(1, 9 if depth < 3 else 4)):
        if depth > 7 or chance.random() < 0.4:
            pieces.append(_text(chance))
            continue
        tag = chance.choice(_TAGS)
        pieces.append(f"<{tag}{_attributes(chance)}>")
        _grow(chance, pieces, depth + 1)
        if chance.random() < 0.85:
            pieces.append(f"</{tag}>")


def _attributes(chance: random.Random) -> str:
    if chance.random() < 0.5:
        return ""
    name = chance.choice(("class", "id", "role", "style", "itemprop", "href", "colspan", "name"))
    value = chance.choice((*_NAMES, "display:none", "articleBody", "javascript:x", "99999999"))
    return f" {name}='{value}'"


def plain_text(chance: random.Random) -> bytes:
    """No markup: what text, Markdown and code look like."""
    lines = "".join(_text(chance) + chance.choice(" \n") for _ in range(chance.randrange(1, 60)))
    return lines.encode("utf-8", "surrogatepass")


@cache
def real_pages() -> tuple[bytes, ...]:
    """Articles and manuals of this machine, evenly spread; none where there are none."""
    articles = sorted(ARTICLES.glob("html/*.html.gz"))
    manuals = sorted(DOCUMENTATION.glob("*/html/**/*.html"))
    manuals += sorted(DOCUMENTATION.glob("installation-guide-*/*/*.html"))
    spread = manuals[:: max(len(manuals) // _MOST_REAL, 1)]
    packed = [gzip.decompress(path.read_bytes())[:_MOST_BYTES] for path in articles]
    return (*packed, *(path.read_bytes()[:_MOST_BYTES] for path in spread if path.is_file()))
