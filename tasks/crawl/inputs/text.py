"""Files of text and HTML on a disk: what kind each is, and its page."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from tasks.crawl.captures import Capture, RejectedUrl
from tasks.crawl.inputs.found import empty, too_large

TYPES = {
    ".html": "text/html",
    ".htm": "text/html",
    ".xhtml": "application/xhtml+xml",
    ".txt": "text/plain",
    ".md": "text/markdown",
}
ROBOTS = "not asked: read from a file"


def content_type(name: str) -> str | None:
    """The media type of a file by its suffix; None for a kind that is not read."""
    return TYPES.get(PurePosixPath(name).suffix.lower())


def modified(path: Path) -> datetime:
    """When a file was last written."""
    return datetime.fromtimestamp(int(path.stat().st_mtime), UTC)


def page_of(
    url: str, body: bytes, kind: str, charset: str, at: datetime, limit: int
) -> Capture | RejectedUrl:
    """The page that a body is, or why it is none."""
    if len(body) > limit:
        return too_large(url, limit)
    if not body:
        return empty(url)
    return Capture(
        url=url, body=body, content_type=kind, charset=charset, fetched_at=at, robots=ROBOTS
    )


def charset_of_text(body: bytes) -> str:
    """utf-8 if it is that; else empty, and whoever decodes it looks at its bytes."""
    try:
        body.decode()
    except UnicodeDecodeError:
        return ""
    return "utf-8"
