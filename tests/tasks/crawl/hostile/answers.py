"""Answers as bytes: well-formed ones, and whatever else a server may send."""

from __future__ import annotations

import gzip
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.tasks.crawl.hostile.server import Asked

HTML = "text/html; charset=utf-8"


@dataclass(frozen=True)
class Answer:
    """The bytes of one answer; only a well-formed one may keep its connection."""

    raw: bytes
    keeps_alive: bool = False


def raw(head: str, body: bytes = b"") -> Answer:
    """An answer as it is written, lines ended with a bare newline in `head`; then the end."""
    return Answer(head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n" + body)


def answer(
    body: bytes | str = b"", status: str = "200 OK", kind: str = HTML, **headers: str
) -> Answer:
    """A well-formed answer; `x_robots_tag="…"` is a header."""
    content = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(content)}"]
    lines += [f"Content-Type: {kind}"] if kind else []
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return Answer(raw("\n".join(lines), content).raw, keeps_alive=True)


def html(*links: str, text: str = "", head: str = "") -> str:
    """A page's text, with links."""
    anchors = "".join(f'<a href="{link}">x</a> ' for link in links)
    return f"<!doctype html><html><head>{head}</head><body><p>{text}</p>{anchors}</body></html>"


def page(*links: str, text: str = "words", head: str = "", **headers: str) -> Answer:
    """A well-formed page with links."""
    return answer(html(*links, text=text, head=head), **headers)


def words(seed: str) -> str:
    """Words of a page's own, so that no two pages are alike."""
    chance = random.Random(seed)
    return " ".join("".join(chance.choices("aeioubdgklmnrst", k=6)) for _ in range(150))


def any_page(asked: Asked) -> Answer:
    """A page without links for whatever path, none like another."""
    return page(text=words(asked.path))


def redirect(location: str, status: str = "302 Found", **headers: str) -> Answer:
    return answer(b"", status, Location=location, **headers)


def packed(body: bytes, coding: str = "gzip", **headers: str) -> Answer:
    """A body that says it is packed with `coding`, whatever it is."""
    return answer(body, Content_Encoding=coding, **headers)


def gzipped(text: str) -> bytes:
    return gzip.compress(text.encode(), mtime=0)


NOT_FOUND = answer("<p>gone</p>", "404 Not Found")
NO_RULES = answer(b"", "404 Not Found", "text/plain")
