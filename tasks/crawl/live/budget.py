"""How many pages, and bytes of pages, a crawl may still ask for: in all, and of one host."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from tasks.crawl.catalogue import Catalogue
from tasks.crawl.live.frontier import Frontier
from tasks.crawl.live.lane import WINDOW
from tasks.crawl.sources.web import WebSource
from tasks.crawl.urls import host_of


class PageBudget:
    """Counts what is kept and what is under way, so that no page is asked for in vain.

    A byte budget ends the asking once it is reached; what is under way then is kept.
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
        """What was reserved is there, a page of so many bytes, or brought no page."""
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
