"""Pages: what was fetched or read, as WARC files with an index."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from tasks.artifacts.artifact import ArtifactType, table


class Pages(ArtifactType):
    """Pages of a crawl."""

    notes: ClassVar[Mapping[str, str]] = {
        "warc/": "`warc/` holds the responses as they came, for FastWARC or warcio."
    }


PAGES = Pages(
    "pages",
    "pages",
    (
        table("pages", "pages/", "one row for each page, its body left to `warc/`"),
        table("fetches", "fetches/", "when each page was fetched, and where in `warc/`"),
        table("rejects", "rejects.parquet", "URLs that gave no page, and why"),
        table("hosts", "hosts.parquet", "what was asked of each host, and how it went"),
    ),
)
