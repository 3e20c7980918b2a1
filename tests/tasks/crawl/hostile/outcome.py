"""What a crawl made of a hostile website."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from storage.errors import SiteUnreachable
from tasks.crawl.captures import RejectedUrl
from tasks.crawl.catalogue import Catalogue, FetchedPage
from tasks.crawl.live.crawler import crawl
from tasks.crawl.sources.web import WebSource


@dataclass(frozen=True)
class Outcome:
    """Pages, bodies and rejects by URL; `error` if the crawl raised SiteUnreachable."""

    pages: dict[str, FetchedPage]
    bodies: dict[str, bytes]
    rejects: dict[str, RejectedUrl]
    segments: list[Path]
    seconds: float = 0.0
    error: SiteUnreachable | None = None

    def kept(self, url: str) -> set[str]:
        """The paths of the pages kept of a host."""
        return {page.removeprefix(url) for page in self.pages if page.startswith(f"{url}/")}

    def reasons(self, url: str) -> dict[str, str]:
        """The reason of each reject of a host, by path."""
        found = (reject for reject in self.rejects.values() if reject.url.startswith(f"{url}/"))
        return {reject.url.removeprefix(url): reject.reason for reject in found}


def crawled(source: WebSource, folder: Path) -> Outcome:
    """Crawl, and read what there is then."""
    error = None
    begun = time.monotonic()
    try:
        crawl(source, folder)
    except SiteUnreachable as raised:
        error = raised
    return replace(read(folder), seconds=time.monotonic() - begun, error=error)


def read(folder: Path) -> Outcome:
    """What a crawl has in its folder."""
    with Catalogue(folder) as found:
        pages = {page.url: page for page in found.pages()}
        bodies = {url: found.body(page) for url, page in pages.items()}
        rejects = {reject.url: reject for reject in found.rejects()}
        return Outcome(pages, bodies, rejects, found.segments())
