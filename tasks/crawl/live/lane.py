"""One host's queue under way: fetched some URLs ahead, settled in their order.

A page is kept the moment it arrives, so that a kill costs only what is under way; its links are
queued, and the next URL's turn comes, in the order of the queue.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Protocol

from tasks.crawl.captures import RejectedUrl
from tasks.crawl.live.frontier import Queued
from tasks.crawl.live.reading import Links

WINDOW = 32  # URLs of one host fetched ahead of the one that is settled next


@dataclass(frozen=True)
class Arrival:
    """What became of a URL that was asked for: a page that is kept, or a reject."""

    queued: Queued
    kept: bool
    links: Links
    reject: RejectedUrl | None = None
    new_bytes: int | None = None
    """Size of a page that this attempt kept."""
    settled: bool = False
    """Whether its links are queued already."""


class Budget(Protocol):
    """How many more pages may be asked for."""

    def take(self, host: int) -> bool:
        """Reserve one page, if there is room for it."""

    def arrived(self, host: int, new_bytes: int | None) -> None:
        """What was reserved is there, a page of so many bytes, or brought no page."""


class Lane:
    """The queue of one host."""

    def __init__(
        self,
        host: int,
        after: Callable[[int, int, int], list[Queued]],
        fetch: Callable[[Queued, Callable[[], bool]], Awaitable[Arrival]],
        settle: Callable[[Sequence[Arrival]], Awaitable[None]],
        budget: Budget,
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
        window = self._flights
        settled = 0
        try:
            while True:
                while len(window) < self._window and goes_on(settled + len(window)):
                    queued = self._next()
                    if queued is None or not self._budget.take(self.host):
                        break
                    self._last = queued.seq
                    self._ahead.popleft()
                    window.append(asyncio.create_task(self._fly(queued)))
                if not window:
                    return
                await window[0]
                ready = [flight.result() for flight in takewhile(_has_arrived, window)]
                await self._settle(ready)
                for _ in ready:
                    window.popleft()
                settled += len(ready)
        finally:
            for flight in window:
                flight.cancel()
            await asyncio.gather(*window, return_exceptions=True)

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
