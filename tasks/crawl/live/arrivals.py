"""What is done with a URL when its turn to be asked for comes: fetch, read, keep.

A page that the crawl before had and that is as it was is taken over from that crawl's WARC file,
with the answer that said so as a `revisit` record beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from storage.takedown import Forgotten
from tasks.crawl.captures import Capture, FetchedPage, RejectedUrl, reject_forgotten
from tasks.crawl.catalogue import Catalogue
from tasks.crawl.live.client import Response
from tasks.crawl.live.earlier import Earlier, checked, condition_of
from tasks.crawl.live.fetch import Fetched, Fetcher
from tasks.crawl.live.frontier import Frontier, Kind, Queued, State
from tasks.crawl.live.lane import Arrival
from tasks.crawl.live.not_found import NotFoundPages
from tasks.crawl.live.reading import Links, Reader

_NOT_MODIFIED = 304
NO_LINKS = Links()
IsNext = Callable[[], bool]


class Arrivals:
    """Fetches URLs and keeps what comes, in one transaction each."""

    def __init__(
        self,
        catalogue: Catalogue,
        frontier: Frontier,
        fetcher: Fetcher,
        reader: Reader,
        earlier: Earlier,
        not_found: NotFoundPages,
        forgotten: Forgotten,
        queue: Callable[[Queued, Links], None],
    ) -> None:
        self._catalogue, self._frontier = catalogue, frontier
        self._fetcher, self._reader, self._earlier = fetcher, reader, earlier
        self._not_found, self._forgotten = not_found, forgotten
        self._queue = queue

    async def bring(self, queued: Queued, is_next: IsNext) -> Arrival:
        """What becomes of one URL; it is safe against a kill when this returns.

        If its turn `is_next` by then, its links are queued in the same transaction: half of all
        transactions, and a tenth of the CPU of a page.
        """
        if queued.state is State.KEPT:  # by an attempt that was killed
            kept = self._catalogue.has_page(queued.url)
            return Arrival(queued, kept, Links.loads(self._frontier.held(queued)), None)
        rule = self._forgotten.covers(queued.url)
        if rule is not None:
            return self._finish(queued, is_next, reject=reject_forgotten(queued.url, rule))
        known = self._earlier.page(queued.url) if queued.kind is Kind.PAGE else None
        if known is not None and self._earlier.is_idle(queued.url):
            forbidden = await self._fetcher.forbidden(queued.url)
            if forbidden is not None:
                return self._finish(queued, is_next, reject=forbidden)
            unasked = self._restored(known, [], _moment(known.checked_at_ms), known.robots)
            if unasked is not None:
                return self._take(queued, is_next, unasked, known, asked=False)
        fetched = await self._ask(queued, known)
        if isinstance(fetched, RejectedUrl):
            return self._finish(queued, is_next, reject=fetched)
        return self._take(queued, is_next, fetched, known)

    async def _ask(self, queued: Queued, known: FetchedPage | None) -> Fetched | RejectedUrl:
        """The page; if the server says that it is as it was, with the body that it had then."""
        condition = condition_of(known) if known is not None else {}
        fetched = await self._fetcher.fetch(queued.url, condition)
        if isinstance(fetched, RejectedUrl) or fetched.response.status != _NOT_MODIFIED:
            return fetched
        assert known is not None
        headers = fetched.response.headers
        restored = self._restored(known, headers, fetched.fetched_at, fetched.robots)
        if restored is None:  # the earlier WARC file is gone
            return await self._fetcher.fetch(queued.url)
        return replace(restored, policy=fetched.policy, not_modified=fetched.response)

    def _restored(
        self, known: FetchedPage, headers: list[tuple[str, str]], at: datetime, robots: str
    ) -> Fetched | None:
        """The earlier response, with the headers of a 304 in place of its own.

        Source: RFC 9111 §3.2
        """
        found = self._earlier.response(known)
        if found is None:
            return None
        stored, body = found
        newer = {name.lower() for name, _ in headers}
        merged = [pair for pair in stored if pair[0].lower() not in newer] + headers
        return Fetched(Response(known.url, known.status, "OK", merged, body, 0, 0.0), at, robots)

    def _take(
        self,
        queued: Queued,
        is_next: IsNext,
        fetched: Fetched,
        known: FetchedPage | None,
        *,
        asked: bool = True,
    ) -> Arrival:
        reading = self._reader.read(queued, fetched)
        capture, reject, links = reading.capture, reading.reject, reading.links
        if capture is not None:
            reject = self._not_found.judge(capture)
        if reject is not None:
            # A page that says "not found" leads nowhere.
            links = links if capture is None else Links()
            return self._finish(queued, is_next, links, reject=reject)
        keep = None if capture is None else partial(self._keep, capture, fetched, known, asked)
        new_bytes = None if capture is None else len(capture.body)
        return self._finish(queued, is_next, links, keep=keep, new_bytes=new_bytes)

    def _finish(
        self,
        queued: Queued,
        is_next: IsNext,
        links: Links = NO_LINKS,
        *,
        keep: Callable[[], None] | None = None,
        reject: RejectedUrl | None = None,
        new_bytes: int | None = None,
    ) -> Arrival:
        """Write down what became of a URL, with its links or what is to be done with them."""
        settled = is_next()
        with self._catalogue.transaction():
            if keep is not None:
                keep()
            if reject is not None:
                self._catalogue.reject(reject)
            if settled:
                self._queue(queued, links)
            else:
                self._frontier.hold(queued, links.dumps())
        return Arrival(queued, keep is not None, links, reject, new_bytes, settled)

    def _keep(
        self, capture: Capture, fetched: Fetched, known: FetchedPage | None, asked: bool
    ) -> None:
        if known is None:
            self._catalogue.add(capture)
            return
        member = self._earlier.member(known) if capture.digest == known.body_digest else None
        if member is None:
            checks, changes = known.num_checks + 1, known.num_changes + 1
            self._catalogue.add(replace(capture, num_checks=checks, num_changes=changes))
            return
        names = ("content_type", "charset", "policy", "licence", "etag", "depth", "robots")
        page = replace(known, **{name: getattr(capture, name) for name in names})
        page = replace(page, last_modified=capture.last_modified)
        if not asked:
            self._catalogue.carry_over(page, member)
            return
        kept = self._catalogue.carry_over(checked(page, fetched.fetched_at), member)
        answer = fetched.not_modified or fetched.response
        self._catalogue.note_revisit(kept, answer.status, answer.reason, answer.headers)


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
