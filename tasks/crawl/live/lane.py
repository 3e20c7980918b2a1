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
from tasks.crawl.live.frontier import Frontier, Queued
from tasks.crawl.live.processing import Outcome
from tasks.crawl.sources.web import WebSource
from tasks.crawl.urls import host_of

WINDOW = 32  # URLs of one host fetched ahead of the one that is settled next


class Lane:
    """The queue of one host."""

    def __init__(
        self,
        host: int,
        after: Callable[[int, int, int], list[Queued]],
        process: Callable[[Queued, Callable[[], bool]], Awaitable[Outcome]],
        settle: Callable[[Sequence[Outcome]], Awaitable[None]],
        budget: PageBudget,
    ) -> None:
        self.host = host
        self._after, self._process, self._settle, self._budget = after, process, settle, budget
        self._last = 0
        self._ahead: deque[Queued] = deque()
        self._in_flight: deque[asyncio.Task[Outcome]] = deque()

    async def run(self, goes_on: Callable[[int], bool]) -> None:
        """Go on until nothing waits, no page more is allowed, or `goes_on`, told how many URLs are
        settled, says no."""
        in_flight = self._in_flight
        settled = 0
        try:
            while True:
                while len(in_flight) < self._budget.window and goes_on(settled + len(in_flight)):
                    queued = self._next()
                    if queued is None or not self._budget.take(self.host):
                        break
                    self._last = queued.seq
                    self._ahead.popleft()
                    in_flight.append(asyncio.create_task(self._request(queued)))
                if not in_flight:
                    return
                await in_flight[0]
                ready = [request.result() for request in takewhile(_has_arrived, in_flight)]
                await self._settle(ready)
                for _ in ready:
                    in_flight.popleft()
                settled += len(ready)
        finally:
            for request in in_flight:
                request.cancel()
            await asyncio.gather(*in_flight, return_exceptions=True)

    async def _request(self, queued: Queued) -> Outcome:
        new_bytes = None
        try:
            outcome = await self._process(queued, self._is_next)
            new_bytes = outcome.new_bytes
        finally:
            self._budget.arrived(self.host, new_bytes)
        return outcome

    def _is_next(self) -> bool:
        """Whether the running request is the one that is settled next."""
        return bool(self._in_flight) and self._in_flight[0] is asyncio.current_task()

    def _next(self) -> Queued | None:
        if not self._ahead:
            self._ahead.extend(self._after(self.host, self._last, WINDOW))
        return self._ahead[0] if self._ahead else None


def _has_arrived(request: asyncio.Task[Outcome]) -> bool:
    return request.done() and not request.cancelled() and request.exception() is None


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
