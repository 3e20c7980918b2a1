"""What the records of an input become."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote

from tasks.crawl.captures import Capture, RejectedUrl
from tasks.crawl.urls import canonical_url


class Found(NamedTuple):
    """A record of an input: where it lies there, and what it gives."""

    place: str
    what: Capture | RejectedUrl


def bad(place: str, why: str, expected: str) -> Found:
    """A record that cannot be read, named by its place."""
    return Found(place, RejectedUrl(place, "bad_record", " ".join(why.split())[:200], expected))


def too_large(url: str, limit: int) -> RejectedUrl:
    """The reject of a body over the bound."""
    return RejectedUrl(url, "too_large", f"over {limit} bytes", str(limit))


def empty(url: str) -> RejectedUrl:
    """The reject of a page without a body."""
    return RejectedUrl(url, "empty_body", "0 bytes", "1 byte")


def address_below(base_url: str, path: str) -> str:
    """The URL of a file or a row below `base_url`: the same on every machine."""
    url = (
        f"{base_url.rstrip('/')}/{quote(path)}"
        if base_url[-3:] != "///"
        else base_url + quote(path)
    )
    return canonical_url(url) if url.startswith(("http://", "https://")) else url
