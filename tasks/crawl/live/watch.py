"""Notices that a site has gone, so that half a crawl is not taken for a whole one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from storage.errors import SiteUnreachable
from tasks.crawl.captures import RejectedUrl
from tasks.crawl.live.fetch import Fetched
from tasks.crawl.urls import canonical_url, host_of

_GONE_AFTER = 10  # URLs of one host in a row without an answer, after all retries
_NO_ANSWER = frozenset({"unreachable", "timed_out", "tls", "robots"})


class Watch:
    """Asks a seed again when its host stops answering. Hosts without a seed may come and go."""

    def __init__(
        self,
        seeds: Sequence[str],
        fetch: Callable[[str], Awaitable[Fetched | RejectedUrl]],
    ) -> None:
        self._seeds = {host_of(url): url for url in map(canonical_url, seeds)}
        self._fetch = fetch
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
        response = await self._fetch(self._seeds[host])
        self._silent[host] = 0
        if isinstance(response, RejectedUrl) and _is_silence(response):
            raise SiteUnreachable(
                f"{host} has stopped answering ({response.reason}: {response.value} for "
                f"{response.url}); expected the site to answer. When it is back, run the same "
                "command: the crawl goes on and tries again what failed."
            )


def _is_silence(response: Fetched | RejectedUrl | None) -> bool:
    return isinstance(response, RejectedUrl) and response.passing and response.reason in _NO_ANSWER
