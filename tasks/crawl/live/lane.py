"""One host's queue under way: fetched some URLs ahead, settled in their order, within a budget.

A page is kept the moment it arrives, so that a kill costs only what is under way; its links are
queued, and the next URL's turn comes, in the order of the queue.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import takewhile

from tasks.crawl.catalogue import Catalogue
from tasks.crawl.live.arrivals import Arrival
from tasks.crawl.live.frontier import Frontier, Queued
from tasks.crawl.sources.web import WebSource
from tasks.crawl.urls import host_of

WINDOW = 32  # URLs of one host fetched ahead of the one that is settled next


class Lane:
    """The queue of one host."""

    def __init__(
        self,
        host: int,
        after: Callable[[int, int, int], list[Queued]],
        fetch: Callable[[Queued, Callable[[], bool]], Awaitable[Arrival]],
        settle: Callable[[Sequence[Arrival]], Awaitable[None]],
        budget: PageBudget,
        window: int = WINDOW,
    ) -> None:
        self.host, self._window = host, window
        self._after, self._fetch, self._settle, self._budget = after, fetch, settle, budget
        self._last = 0
        self._ahead: deque[Queued] = deque()
        self._flights: deque[asyncio.Task[Arrival]] = deque()

    async def run(self, goes_on: Callable[[int], bool]) -> None:
        """Go on until nothing waits, no page more is allowed, or so many URLs are settled that
        `goes_on` says no."""
        flights = self._flights
        settled = 0
        try:
            while True:
                while len(flights) < self._window and goes_on(settled + len(flights)):
                    queued = self._next()
                    if queued is None or not self._budget.take(self.host):
                        break
                    self._last = queued.seq
                    self._ahead.popleft()
                    flights.append(asyncio.create_task(self._fly(queued)))
                if not flights:
                    return
                await flights[0]
                ready = [flight.result() for flight in takewhile(_has_arrived, flights)]
                await self._settle(ready)
                for _ in ready:
                    flights.popleft()
                settled += len(ready)
        finally:
            for flight in flights:
                flight.cancel()
            await asyncio.gather(*flights, return_exceptions=True)

    async def _fly(self, queued: Queued) -> Arrival:
        new_bytes = None
        try:
            arrival = await self._fetch(queued, self._is_next)
            new_bytes = arrival.new_bytes
        finally:
            self._budget.arrived(self.host, new_bytes)
        return arrival

    def _is_next(self) -> bool:
        """Whether the running flight is the one that is settled next."""
        return bool(self._flights) and self._flights[0] is asyncio.current_task()

    def _next(self) -> Queued | None:
        if not self._ahead:
            self._ahead.extend(self._after(self.host, self._last, WINDOW))
        return self._ahead[0] if self._ahead else None


def _has_arrived(flight: asyncio.Task[Arrival]) -> bool:
    return flight.done() and not flight.cancelled() and flight.exception() is None


class PageBudget:
    """How many pages, and bytes of pages, may still be asked for: in all, and of one host.

    Counts what is kept and what is under way, so that no page is asked for in vain. A byte budget
    ends the asking once it is reached; what is under way then is kept.
    """

    window: int
    """URLs of one host to fetch ahead: with a byte budget, no more than are really under way."""

    def __init__(
        self,
        source: WebSource,
        catalogue: Catalogue,
        frontier: Frontier,
        freed: Callable[[], None],
    ) -> None:
        self._source, self._catalogue, self._freed = source, catalogue, freed
        self._under_way: Counter[int] = Counter()
        self._num_under_way = 0
        self._full = False
        by_bytes = source.max_bytes is not None or source.max_bytes_per_host is not None
        self.window = source.politeness.connections_per_host if by_bytes else WINDOW
        self._pages: Counter[int] = Counter()
        self._bytes: Counter[int] = Counter()
        self._per_host = bool(source.max_pages_per_host or source.max_bytes_per_host)
        if self._per_host:
            for url, size in catalogue.db.execute("SELECT url, num_bytes FROM pages"):
                self._keep(frontier.host(host_of(url)), size)

    def has_room(self, host: int) -> bool:
        """Whether a page more may be asked for, of this host and in all."""
        source, catalogue = self._source, self._catalogue
        pages, pages_here = catalogue.num_pages + self._num_under_way, source.max_pages_per_host
        bytes_here = source.max_bytes_per_host
        return (
            pages < source.max_pages
            and (source.max_bytes is None or catalogue.num_bytes < source.max_bytes)
            and (pages_here is None or self._pages[host] + self._under_way[host] < pages_here)
            and (bytes_here is None or self._bytes[host] < bytes_here)
        )

    def take(self, host: int) -> bool:
        """Reserve one page, if there is room for it."""
        if not self.has_room(host):
            self._full = True
            return False
        self._under_way[host] += 1
        self._num_under_way += 1
        return True

    def arrived(self, host: int, new_bytes: int | None) -> None:
        """Free what was reserved: a page of so many bytes is there, or it brought no page."""
        if new_bytes is not None and self._per_host:
            self._keep(host, new_bytes)
        self._under_way[host] -= 1
        self._num_under_way -= 1
        if self._full:  # a lane may have ended for want of it
            self._full = False
            self._freed()

    def _keep(self, host: int, num_bytes: int) -> None:
        self._pages[host] += 1
        self._bytes[host] += num_bytes
