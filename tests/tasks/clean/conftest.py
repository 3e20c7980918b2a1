"""A crawl's shard, written by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from storage.identities import page_id
from storage.parquet import write_rows
from storage.records import FETCH, PAGE
from storage.warc import WarcSegment
from storage.workspace import Workspace
from tasks.clean.clean import PageShard


@dataclass(frozen=True)
class Page:
    url: str
    body: bytes
    charset: str = ""
    content_type: str = "text/html"
    licence: str = ""

    @property
    def page_id(self) -> str:
        return page_id(self.url, hashlib.sha256(self.body).hexdigest())


WriteShard = Callable[[Sequence[Page]], PageShard]


def write_crawl_shard(pages: Sequence[Page], root: Path) -> PageShard:
    """Write pages as a crawl does, in the order given, under `root`; returns where they lie."""
    crawl = Workspace(root)
    now = datetime(2026, 1, 2, tzinfo=UTC)
    warc = WarcSegment(crawl.data / "warc" / "pages.warc.gz", 0, "tests")
    page_rows, fetch_rows = [], []
    for page in pages:
        if page.content_type == "text/html":
            place = warc.append(page.url, now, 200, "OK", [], page.body)
        else:
            place = warc.append_resource(page.url, now, page.content_type, page.body)
        digest = hashlib.sha256(page.body).hexdigest()
        page_rows.append(
            {
                "page_id": page.page_id,
                "url": page.url,
                "content_type": page.content_type,
                "charset": page.charset,
                "body_digest": digest,
                "num_bytes": len(page.body),
                "policy": "",
                "licence": page.licence,
            }
        )
        fetch_rows.append(
            {
                "page_id": page.page_id,
                "fetched_at": now,
                "checked_at": now,
                "num_checks": 0,
                "num_changes": 0,
                "status": 200,
                "etag": "",
                "last_modified": "",
                "depth": 0,
                "robots": "allowed",
                "warc_file": "pages.warc.gz",
                "warc_offset": place.offset,
                "warc_bytes": place.num_bytes,
            }
        )
    warc.close()
    write_rows(crawl, "pages.parquet", page_rows, PAGE)
    write_rows(crawl, "fetches.parquet", fetch_rows[::-1], FETCH)
    return PageShard(
        crawl.data / "pages.parquet", crawl.data / "fetches.parquet", crawl.data / "warc"
    )


@pytest.fixture
def write_shard(tmp_path: Path) -> WriteShard:
    """Writes pages as a crawl does, in the order given, and returns where they lie."""

    def write(pages: Sequence[Page]) -> PageShard:
        return write_crawl_shard(pages, tmp_path / f"crawl-{len(list(tmp_path.iterdir()))}")

    return write
