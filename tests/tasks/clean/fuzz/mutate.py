"""Page number N of a seed: a source, broken in some ways, and what a server may say of it.

A seeded mutator and not hypothesis for the bulk: a page costs 0.1 ms to draw instead of 2, can be
drawn again in another process when the one that met it is dead, and is bytes of many KB, which
hypothesis does not shrink well (`minimised` does). hypothesis draws the texts of `test_texts.py`.
atheris was looked at: its wheels are for Linux on x86-64 alone, and the coverage that leads it is
Python's, of which these parsers, written in C and C++, have none.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

from tests.tasks.clean.conftest import Page
from tests.tasks.clean.fuzz.sources import (
    ENTITIES,
    NASTY,
    PERSONAL,
    by_grammar,
    plain_text,
    real_pages,
)

_TYPES = ("text/html",) * 8 + ("application/xhtml+xml", "text/plain", "text/markdown")
_CHARSETS = (
    *("", "", "", "utf-8", "utf-8", "UTF8 ", "iso-8859-1", "windows-1252", "windows-1251"),
    *("utf-16", "utf-16le", "utf-16be", "utf-32", "utf-7", "gb18030", "gbk", "big5", "euc-kr"),
    *("shift_jis", "euc-jp", "iso-2022-jp", "iso-2022-kr", "hz-gb-2312", "koi8-r", "macintosh"),
    *("x-user-defined", "replacement", "ibm866", "idna", "base64", "no-such", "\x00", "é", '"'),
)
_REWRITTEN = ("utf-16", "utf-16-be", "utf-8-sig", "cp1252", "cp1251", "gb18030", "euc_jp", "utf-32")
_URLS = (
    "http://a.example/",
    "https://www.example.org/a/b.html?c=1",
    "http://[::1]/x",
    "http://[x/",
    "http://a.example:99999/",
    "http://xn--a-ecp.ru/%00%ff%F0%9F",
    "file:///usr/share/doc/a%20b.html",
    "http://sông.example/đường",
    "x",
    "http://",
    "http://a/" + "a/" * 900,
)
_TOKEN = re.compile(rb"<[^<>]{0,200}>|[^<>\s]+|\s+")
_METAS = (
    b"<meta charset=%s>",
    b'<meta http-equiv="Content-Type" content="text/html; charset=%s">',
    b'<?xml version="1.0" encoding="%s"?>',
)
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff", b"+/v8")
_BYTES = (b"\x00", b"\xff", b"<", b">", b"&", b'"', b"'", b"\x80", b"\xed\xa0\x80", b"\xf0\x9f\x92")
_MOST_BYTES = 60_000
_LARGE = 0.002
"""Share of the pages that are repeated to up to 2 MB."""

Mutation = Callable[[random.Random, bytes], bytes]


def page(seed: int, number: int) -> Page:
    """The page of this number, always the same on one machine."""
    chance = random.Random(f"{seed}:{number}")
    body = _source(chance)
    for _ in range(chance.choice((0, 1, 1, 2, 2, 3, 5))):
        body = chance.choice(_MUTATIONS)(chance, body)[:_MOST_BYTES]
    if chance.random() < _LARGE and body:
        body *= min(2_000_000 // len(body), 2_000)
    url = f"{chance.choice(_URLS)}#{number}"  # a URL is one page of a crawl
    return Page(url, body, chance.choice(_CHARSETS), chance.choice(_TYPES))


def _source(chance: random.Random) -> bytes:
    real, draw = real_pages(), chance.random()
    if draw < 0.4 and real:
        return chance.choice(real)
    if draw < 0.65:
        return by_grammar(chance)
    if draw < 0.75:
        return plain_text(chance)
    return NASTY[chance.choice(tuple(NASTY))](chance)


def _place(chance: random.Random, body: bytes) -> int:
    return chance.randrange(len(body) + 1)


def _flip(chance: random.Random, body: bytes) -> bytes:
    changed = bytearray(body)
    for _ in range(min(chance.choice((1, 3, 30, 300)), len(body))):
        changed[chance.randrange(len(body))] = chance.randrange(256)
    return bytes(changed)


def _cut(chance: random.Random, body: bytes) -> bytes:
    start, end = sorted((_place(chance, body), _place(chance, body)))
    return chance.choice((body[:end], body[start:], body[start:end], body[:start] + body[end:]))


def _splice(chance: random.Random, body: bytes) -> bytes:
    other = _source(chance)
    return body[: _place(chance, body)] + other[_place(chance, other) :]


def _insert(chance: random.Random, body: bytes, pieces: Sequence[bytes]) -> bytes:
    for _ in range(chance.choice((1, 3, 20))):
        at = _place(chance, body)
        piece = chance.choice(pieces) * chance.choice((1, 1, 1, 7, 200))
        body = body[:at] + piece + body[at:]
    return body


def _tokens(chance: random.Random, body: bytes) -> bytes:
    """Some tokens go, stand there often, or change places."""
    tokens = _TOKEN.findall(body)
    for _ in range(chance.choice((1, 5, 25)) if tokens else 0):
        at, other = chance.randrange(len(tokens)), chance.randrange(len(tokens))
        how = chance.randrange(3)
        if how == 0:
            tokens[at] = b""
        elif how == 1:
            tokens[at] = (tokens[at] * chance.choice((2, 50, 1_000)))[:_MOST_BYTES]
        else:
            tokens[at], tokens[other] = tokens[other], tokens[at]
    return b"".join(tokens)


def _rewrite(chance: random.Random, body: bytes) -> bytes:
    return body.decode("utf-8", "replace").encode(chance.choice(_REWRITTEN), "replace")


def _lie(chance: random.Random, body: bytes) -> bytes:
    charset = chance.choice(_CHARSETS).encode()
    return chance.choice(_MARKS) + body if chance.random() < 0.3 else _meta(chance, charset) + body


def _meta(chance: random.Random, charset: bytes) -> bytes:
    return chance.choice(_METAS) % charset


def _wrap(chance: random.Random, body: bytes) -> bytes:
    """In more elements, or in an element that holds no markup."""
    tag = chance.choice((b"div", b"td", b"b", b"li", b"pre", b"script", b"textarea", b"template"))
    return b"<%s>" % tag * chance.choice((1, 2, 300)) + body


_MUTATIONS: tuple[Mutation, ...] = (
    _flip,
    _cut,
    _splice,
    _tokens,
    _tokens,
    _rewrite,
    _lie,
    _wrap,
    lambda chance, body: _insert(chance, body, _BYTES),
    lambda chance, body: _insert(chance, body, [entity.encode() for entity in ENTITIES]),
    lambda chance, body: _insert(chance, body, [text.encode() for text in PERSONAL]),
    lambda chance, body: _insert(
        chance, body, [NASTY[chance.choice(tuple(NASTY))](chance)[:2_000]]
    ),
)
