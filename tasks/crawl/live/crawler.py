"""The crawl itself: a lane for each host that has URLs waiting, within one budget.

frontier ─▶ lane of a host ─▶ Processor: fetch ▸ read ▸ keep ─▶ settle: queue links ─▶ frontier
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from storage.errors import SiteUnreachable
from storage.takedown import NOTHING, Forgotten
from tasks.crawl.captures import RejectedUrl
from tasks.crawl.catalogue import Catalogue
from tasks.crawl.live.fetch import Fetched, Fetcher, open_client
from tasks.crawl.live.frontier import Frontier, Kind, Queued
from tasks.crawl.live.lane import Lane, PageBudget
from tasks.crawl.live.processing import MAX_REDIRECTS, Links, Outcome, Processor, Reader
from tasks.crawl.live.soft_404 import NotFoundPages
from tasks.crawl.live.traps import PatternCounts, Traps
from tasks.crawl.previous_crawl import PreviousCrawl, PreviousPages
from tasks.crawl.sources.web import WebSource
from tasks.crawl.urls import Scope, canonical_url, host_of
from tasks.progress import Bar, track

_MAX_LANES = 1024  # hosts under way at once; the others follow as these run dry or had their turn
_TURN = 200  # URLs of a host that are settled before others get a turn
_SHOW_EVERY_S = 0.1
_LOG_EVERY_S = 5.0
_GONE_AFTER = 10  # URLs of one host in a row without an answer, after all retries
_NO_ANSWER = frozenset({"unreachable", "timed_out", "tls", "robots"})


def crawl(
    source: WebSource,
    folder: Path,
    forgotten: Forgotten = NOTHING,
    earlier: PreviousCrawl | None = None,
) -> None:
    """Crawl into `folder` (a catalogue), going on where an earlier call stopped.

    URLs that are `forgotten` are rejects and are not asked for. Pages that the `earlier` crawl has
    are asked for with its ETag or date, and taken over from it where they did not change.
    Raises SiteUnreachable if not one page could be fetched, or a seed's site stops answering.
    """
    with Catalogue(folder, source.user_agent) as catalogue:
        frontier = Frontier(catalogue)
        previous = PreviousPages(catalogue.db, earlier if source.recrawl.conditional else None)
        _prepare(source, catalogue, frontier)
        previous.load(datetime.now(UTC), source.recrawl.max_checks)
        asyncio.run(_run(source, catalogue, frontier, previous, forgotten))
        if catalogue.num_pages == 0:
            raise SiteUnreachable(_unreachable(source, catalogue))


def _prepare(source: WebSource, catalogue: Catalogue, frontier: Frontier) -> None:
    """Queue the seeds, and again what is not safely in a WARC file, and what failed in passing."""
    catalogue.begin(datetime.now(UTC))
    with catalogue.transaction():
        frontier.requeue(catalogue.drop_lost())
        frontier.requeue(catalogue.drop_passing())
        frontier.add([canonical_url(seed) for seed in source.seeds], 0)


def _unreachable(source: WebSource, catalogue: Catalogue) -> str:
    reasons = [f"{r.url}: {r.reason} ({r.value})" for r in catalogue.rejects()][:5]
    return (
        f"no page was fetched from {', '.join(source.seeds)} [{'; '.join(reasons)}]; expected at "
        "least one HTML page with status 200. Check the address, that the server runs, and what "
        "its robots.txt says; then run the same command again."
    )


async def _run(
    source: WebSource,
    catalogue: Catalogue,
    frontier: Frontier,
    previous: PreviousPages,
    forgotten: Forgotten,
) -> None:
    async with open_client(source) as client:
        fetcher = Fetcher(client, source, catalogue.db, catalogue.hosts())
        await _Crawl(source, catalogue, frontier, fetcher, previous, forgotten).run()


class _Crawl:
    def __init__(
        self,
        source: WebSource,
        catalogue: Catalogue,
        frontier: Frontier,
        fetcher: Fetcher,
        previous: PreviousPages,
        forgotten: Forgotten,
    ) -> None:
        self._source, self._catalogue = source, catalogue
        self._frontier, self._fetcher = frontier, fetcher
        scope = Scope(source.seeds, source.include, source.exclude, source.domains)
        reader, queue = Reader(source, scope), self._queue
        self._not_found = NotFoundPages(frontier, fetcher)
        self._processor = Processor(
            catalogue, frontier, fetcher, reader, previous, self._not_found, forgotten, queue
        )
        self._traps = Traps(
            PatternCounts(catalogue.db),
            max_urls_per_pattern=source.max_urls_per_pattern,
            year=datetime.now(UTC).year,
        )
        self._watch = _Watch(source.seeds, fetcher)
        self._wake = asyncio.Event()
        self._budget = PageBudget(source, catalogue, frontier, self._wake.set)
        self._lanes: dict[int, asyncio.Task[None]] = {}
        self._errors: Counter[str] = Counter(catalogue.reasons())
        self._num_new, self._shown = 0, 0.0  # pages since the last showing
        self._logged = monotonic()

    async def run(self) -> None:
        catalogue = self._catalogue
        with track("crawl", self._expected(), "pages", done=catalogue.num_pages) as bar:
            await self._drain(bar)
        if 0 < catalogue.num_pages < self._source.max_pages:
            await self._watch.close()

    async def _drain(self, bar: Bar) -> None:
        """Keep lanes going until no URL waits that may still be asked for."""
        self._bar = bar
        try:
            while True:
                self._start_lanes()
                if not self._lanes:
                    return
                await self._wake.wait()
                self._wake.clear()
                self._end_lanes()
        finally:
            for lane in self._lanes.values():
                lane.cancel()
            await asyncio.gather(*self._lanes.values(), return_exceptions=True)
            self._show()
            self._log_hosts()

    def _start_lanes(self) -> None:
        if len(self._lanes) >= min(_MAX_LANES, len(self._frontier.waiting)):
            return
        for host in list(self._frontier.waiting):
            if len(self._lanes) >= _MAX_LANES:
                return
            if host not in self._lanes and self._budget.has_room(host):
                lane = asyncio.create_task(self._run_lane(host))
                lane.add_done_callback(lambda _: self._wake.set())
                self._lanes[host] = lane

    def _end_lanes(self) -> None:
        """Forget lanes that ended, raising what ended them; their hosts queue up behind others."""
        for host, lane in [item for item in self._lanes.items() if item[1].done()]:
            del self._lanes[host]
            lane.result()
            if host in self._frontier.waiting:
                self._frontier.waiting[host] = self._frontier.waiting.pop(host)

    async def _run_lane(self, host: int) -> None:
        await self._learn_host(host)
        after, process, budget = self._frontier.after, self._processor.process, self._budget
        lane = Lane(host, after, process, self._settle, budget)
        await lane.run(lambda settled: settled < _TURN or not self._hosts_wait())

    def _hosts_wait(self) -> bool:
        """Whether there are hosts that have no lane."""
        return len(self._frontier.waiting) > len(self._lanes)

    async def _learn_host(self, host: int) -> None:
        """Queue the sitemaps that a host names and learn how it says "not found", once for each."""
        first = self._frontier.after(host, 0, 1)
        if not first:
            return
        url, name = first[0].url, f"sitemaps of {self._frontier.name(host)}"
        if self._source.sitemaps and self._frontier.note(name) is None:
            sitemaps = await self._fetcher.sitemaps(url)
            with self._catalogue.transaction():
                self._frontier.add(_canonical(sitemaps, url), 0, kind=Kind.LISTING)
                self._frontier.note(name, str(len(sitemaps)))
        if self._source.soft_404:
            await self._not_found.learn(url)

    async def _settle(self, outcomes: Sequence[Outcome]) -> None:
        """Queue what some URLs of a host led to: their turn has come."""
        held = [outcome for outcome in outcomes if not outcome.settled]
        if held:
            with self._catalogue.transaction():
                for outcome in held:
                    self._queue(outcome.queued, outcome.links)
        if self._hosts_wait():
            self._wake.set()
        for outcome in outcomes:
            self._count(outcome)
            await self._watch.saw(outcome.queued.url, outcome.reject)

    def _queue(self, queued: Queued, links: Links) -> None:
        """Queue what a URL led to: it is done with."""
        redirects = queued.redirects + 1 if links.redirect else 0
        depth = queued.depth if links.redirect else queued.depth + 1
        if depth <= self._source.max_depth and redirects <= MAX_REDIRECTS:
            kind = queued.kind if links.redirect else Kind.PAGE
            self._frontier.add(links.pages, depth, redirects, kind, self._admits)
            self._frontier.add(links.listings, queued.depth, kind=Kind.LISTING)
        self._frontier.settle(queued)

    def _admits(self, url: str) -> bool:
        """Whether a new URL is none of those that a site can make without end."""
        trap = self._traps.verdict(url)
        if trap is None:
            self._traps.note(url)
            return True
        _, value, threshold = trap
        self._catalogue.reject(RejectedUrl(url, "trap", value, threshold))
        return False

    # --- telling ------------------------------------------------------------------------------

    def _expected(self) -> int:
        waiting = self._frontier.num_waiting
        return min(self._source.max_pages, self._catalogue.num_pages + waiting)

    def _count(self, outcome: Outcome) -> None:
        if outcome.reject is not None and outcome.reject.reason != "redirected":
            self._errors[outcome.reject.reason] += 1
        self._num_new += outcome.new_bytes is not None
        now = monotonic()
        if now - self._shown >= _SHOW_EVERY_S:
            self._show()
        if now - self._logged >= _LOG_EVERY_S:
            self._log_hosts()

    def _show(self) -> None:
        facts: dict[str, object] = {
            "waiting": self._frontier.num_waiting,
            "hosts": len(self._lanes),
            "MB": f"{self._catalogue.num_bytes / 1e6:.1f}",
        }
        facts |= dict(self._errors.most_common(3))
        self._bar.retarget(self._expected())
        self._bar.advance(self._num_new, **facts)
        self._num_new, self._shown = 0, monotonic()

    def _log_hosts(self) -> None:
        self._logged = monotonic()
        rows = self._fetcher.log()
        waiting = {self._frontier.name(h): n for h, n in self._frontier.waiting.items()}
        for name, row in rows.items():
            row["waiting"] = waiting.get(name, 0)
        with self._catalogue.transaction():
            self._catalogue.log_hosts(rows)


def _canonical(urls: Iterable[str], base: str) -> list[str]:
    found = []
    for url in urls:
        with suppress(ValueError):
            found.append(canonical_url(url, base))
    return found


class _Watch:
    """Notices that a site has gone, so that half a crawl is not taken for a whole one.

    Asks a seed again when its host stops answering. Hosts without a seed may come and go.
    """

    def __init__(
        self,
        seeds: Sequence[str],
        fetcher: Fetcher,
    ) -> None:
        self._seeds = {host_of(url): url for url in map(canonical_url, seeds)}
        self._fetcher = fetcher
        self._silent: Counter[str] = Counter()

    async def saw(self, url: str, reject: RejectedUrl | None) -> None:
        """Note one response. Raises SiteUnreachable if its site has gone."""
        host = host_of(url)
        if not _is_silence(reject):
            self._silent[host] = 0
        elif host in self._seeds:
            self._silent[host] += 1
            if self._silent[host] == _GONE_AFTER:
                await self._ask_again(host)

    async def close(self) -> None:
        """Raise SiteUnreachable if a site was silent at the end."""
        for host in [host for host, times in self._silent.items() if times]:
            await self._ask_again(host)

    async def _ask_again(self, host: str) -> None:
        response = await self._fetcher.fetch(self._seeds[host])
        self._silent[host] = 0
        if isinstance(response, RejectedUrl) and _is_silence(response):
            raise SiteUnreachable(
                f"{host} has stopped answering ({response.reason}: {response.value} for "
                f"{response.url}); expected the site to answer. When it is back, run the same "
                "command: the crawl goes on and tries again what failed."
            )


def _is_silence(response: Fetched | RejectedUrl | None) -> bool:
    return isinstance(response, RejectedUrl) and response.passing and response.reason in _NO_ANSWER
