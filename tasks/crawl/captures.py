"""What a source gives: pages before they are kept, and URLs and records that gave none."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import quote

from tasks.crawl.urls import canonical_url

TYPES = {
    ".html": "text/html",
    ".htm": "text/html",
    ".xhtml": "application/xhtml+xml",
    ".txt": "text/plain",
    ".md": "text/markdown",
}
ROBOTS = "not asked: read from a file"


@dataclass(frozen=True)
class RejectedUrl:
    """A URL that gave no page; `passing` failures are tried again by a crawl that goes on."""

    url: str
    reason: str
    value: str
    threshold: str
    passing: bool = False


def reject_forgotten(url: str, rule: str) -> RejectedUrl:
    """Reject a URL whose content was taken down."""
    return RejectedUrl(url, "forgotten", rule, "content that was not taken down")


def too_large(url: str, limit: int) -> RejectedUrl:
    """Reject a body over the bound."""
    return RejectedUrl(url, "too_large", f"over {limit} bytes", str(limit))


def empty(url: str) -> RejectedUrl:
    """Reject a page without a body."""
    return RejectedUrl(url, "empty_body", "0 bytes", "1 byte")


@dataclass(frozen=True)
class Capture:
    """A page's body and what is known of it, before it is kept.

    With a `status` it was answered over HTTP and becomes a WARC `response`, else a `resource`.
    """

    url: str
    body: bytes
    content_type: str
    charset: str
    fetched_at: datetime
    status: int = 0
    reason: str = ""
    headers: Sequence[tuple[str, str]] = ()
    policy: str = ""
    licence: str = ""
    etag: str = ""
    last_modified: str = ""
    depth: int = 0
    robots: str = ""
    num_checks: int = 0
    num_changes: int = 0

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.body).hexdigest()


class Found(NamedTuple):
    """A record of an input: where it lies there, and what it gives."""

    place: str
    what: Capture | RejectedUrl


def bad_record(place: str, why: str, expected: str) -> Found:
    """Reject a record that cannot be read, named by its place."""
    return Found(place, RejectedUrl(place, "bad_record", " ".join(why.split())[:200], expected))


def page_of(
    url: str, body: bytes, kind: str, charset: str, at: datetime, limit: int
) -> Capture | RejectedUrl:
    """Return the page that a file's or a row's body is, or why it is none."""
    if len(body) > limit:
        return too_large(url, limit)
    if not body:
        return empty(url)
    return Capture(url, body, kind, charset, at, robots=ROBOTS)


def url_below(base_url: str, path: str) -> str:
    """Return the URL of a file or a row below `base_url`: the same on every machine."""
    folder = base_url if base_url.endswith("///") else f"{base_url.rstrip('/')}/"
    url = folder + quote(path)
    return canonical_url(url) if url.startswith(("http://", "https://")) else url


def content_type(name: str) -> str | None:
    """Return the media type of a file by its suffix; None for a kind that is not read."""
    return TYPES.get(PurePosixPath(name).suffix.lower())


def charset_of_text(body: bytes) -> str:
    """Return utf-8 if it is that; else empty, and whoever decodes it looks at its bytes."""
    try:
        body.decode()
    except UnicodeDecodeError:
        return ""
    return "utf-8"


def modified(path: Path) -> datetime:
    """Return when a file was last written."""
    return datetime.fromtimestamp(int(path.stat().st_mtime), UTC)
