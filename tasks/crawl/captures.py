"""What a source gives: pages, before and after they are kept, and URLs that gave none."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from storage.warc import Place


@dataclass(frozen=True)
class FetchedPage:
    """A page that is in a WARC file."""

    url: str
    page_id: str
    content_type: str
    charset: str
    body_digest: str
    num_bytes: int
    policy: str
    licence: str
    fetched_at_ms: int
    checked_at_ms: int
    num_checks: int
    num_changes: int
    status: int
    etag: str
    last_modified: str
    depth: int
    robots: str
    warc_file: str
    warc_offset: int
    warc_bytes: int

    @property
    def place(self) -> Place:
        return Place(self.warc_offset, self.warc_bytes)


@dataclass(frozen=True)
class RejectedUrl:
    """A URL that gave no page; `passing` failures are tried again by a crawl that goes on."""

    url: str
    reason: str
    value: str
    threshold: str
    passing: bool = False


def reject_forgotten(url: str, rule: str) -> RejectedUrl:
    """The reject of a URL whose content was taken down."""
    return RejectedUrl(url, "forgotten", rule, "content that was not taken down")


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
