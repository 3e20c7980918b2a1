"""A few pages of a site, asked for as a crawl would ask: what `phusa init` judges it by."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tasks.crawl.captures import Capture, RejectedUrl
from tasks.crawl.live.fetch import Fetcher, open_client
from tasks.crawl.live.frontier import Kind, Queued
from tasks.crawl.live.processing import Reader, Reading, landed
from tasks.crawl.sources.web import WebSource
from tasks.crawl.urls import Scope, canonical_url, host_of
from tasks.progress import Bar

_MAX_SITEMAPS = 8
_GOLDEN = 0.618034  # its multiples, modulo 1, lie evenly however many are taken
_TRIES = 2  # requests for each page that is wanted, failures included


@dataclass
class SiteSample:
    """What was found of a site."""

    start: str
    """Where its first URL leads."""
    include: tuple[str, ...] = ()
    """Keeps a crawl in the folder that the first URL names; empty: all of its host."""
    pages: list[Capture] = field(default_factory=list)
    rejects: list[RejectedUrl] = field(default_factory=list)
    listed: set[str] = field(default_factory=set)
    """URLs in scope that sitemaps name."""
    links: list[set[str]] = field(default_factory=list)
    """Those that each page names."""
    delay_s: float = 0.0
    """Seconds between two requests that robots.txt and the host's answers ask for."""

    @property
    def known(self) -> set[str]:
        """URLs in scope that were seen."""
        return {self.start}.union(self.listed, *self.links)

    def estimate(self) -> int:
        """Estimate the pages, from how many links of every other page the rest name too.

        Lincoln and Petersen's, with Chapman's correction, of what neither the first page nor
        sitemaps name. Links of a third of the pages are menus, and tell nothing. 3 times what is
        known at most: on a page's own links, such as a forum's replies, the halves never agree.
        Of both kinds of URLs as large a share is pages as in the sample.
        """
        told = {self.start}.union(self.listed, *self.links[:1])
        counts = Counter(url for links in self.links[1:] for url in links - told)
        told |= {url for url, num in counts.items() if num * 3 >= max(len(self.links), 6)}
        first, second = (set().union(*self.links[i::2]) - told for i in (1, 2))
        others = (len(first) + 1) * (len(second) + 1) // (len(first & second) + 1) - 1
        others = max(min(others, 3 * len(self.known) - len(told)), len(self.known - told))
        asked = Counter((page.url in told, True) for page in self.pages)
        asked += Counter((reject.url in told, False) for reject in self.rejects)
        shares = [
            (asked[k, True] + 1) / (asked[k, True] + asked[k, False] + 1) for k in (True, False)
        ]
        return round(len(told) * shares[0] + others * shares[1])


def sample_site(source: WebSource, num_pages: int, bar: Bar) -> SiteSample:
    """Fetch `num_pages` pages, spread over what the first page, sitemaps and the others lead to.

    Robots.txt, delays, policies and addresses are heeded as in a crawl of `source`. If the first
    URL gives nothing, there are no `pages` and the reason is in `rejects`.
    """
    return asyncio.run(_sample(source, num_pages, bar))


async def _sample(source: WebSource, num_pages: int, bar: Bar) -> SiteSample:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        async with open_client(source) as client:
            fetcher = Fetcher(client, source, db)
            first = await landed(fetcher, canonical_url(source.seeds[0]))
            sample = SiteSample(first.url, _folder(first.url))
            if isinstance(first, RejectedUrl):
                sample.rejects.append(first)
                return sample
            scope = Scope((first.url,), sample.include, ())
            reader = Reader(source, scope)
            _take(sample, reader.read(Queued(0, first.url, 0), first), bar)
            sample.listed |= await _listed(fetcher, reader, scope, first.url)
            asked = {first.url}
            while len(asked) < _TRIES * num_pages and len(sample.pages) < num_pages:
                waiting = sorted(sample.known - asked)
                if not waiting:
                    break
                url = waiting[int(len(asked) * _GOLDEN % 1 * len(waiting))]
                asked.add(url)
                _take(sample, await _read(fetcher, reader, url), bar)
            sample.delay_s = float(fetcher.log()[host_of(first.url)]["delay_s"])
    return sample


async def _read(fetcher: Fetcher, reader: Reader, url: str, kind: Kind = Kind.PAGE) -> Reading:
    fetched = await fetcher.fetch(url)
    if isinstance(fetched, RejectedUrl):
        return Reading(reject=fetched)
    return reader.read(Queued(0, url, 1, kind=kind), fetched)


def _take(sample: SiteSample, reading: Reading, bar: Bar) -> None:
    sample.links.append(set(reading.links.pages))
    if reading.reject is not None:
        sample.rejects.append(reading.reject)
    if reading.capture is not None:
        sample.pages.append(reading.capture)
        bar.advance()


async def _listed(fetcher: Fetcher, reader: Reader, scope: Scope, url: str) -> set[str]:
    """Read the first sitemaps that robots.txt names, and those that they name."""
    waiting, found = list(await fetcher.sitemaps(url)), set[str]()
    for number in range(_MAX_SITEMAPS):
        if number >= len(waiting):
            break
        links = (await _read(fetcher, reader, waiting[number], Kind.LISTING)).links
        found |= set(links.pages)
        waiting += links.listings
    return {url for url in found if scope.admits(url)}


def _folder(url: str) -> tuple[str, ...]:
    """Make the pattern of the folder that a URL lies in; of a host's first page none."""
    parts = urlsplit(url)
    folder = parts.path.rpartition("/")[0]
    return (f"^{re.escape(f'{parts.scheme}://{parts.netloc}{folder}/')}",) if folder else ()
