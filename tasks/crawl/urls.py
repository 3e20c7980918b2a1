"""One spelling for each URL, and the question whether it is in scope.

courlan's `normalize_url` does the spelling (case, ports, escapes, query order, trackers); its
stricter `clean_url` also drops pages that look unlike articles, which a crawl within scope wants.
Fragments and dot segments are resolved here, since courlan keeps both.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urldefrag, urljoin, urlsplit

from courlan import normalize_url


def canonical_url(url: str, base: str | None = None) -> str:
    """The canonical spelling of `url`, resolved against `base`.

    Raises ValueError for anything but an absolute http(s) URL with a host.
    """
    absolute = urldefrag(urljoin(base, url.strip()) if base else url.strip()).url
    parts = urlsplit(absolute)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is not a URL that can be fetched; expected http(s)://host/…")
    spelled = str(normalize_url(absolute))
    resolved = urljoin(spelled, urlsplit(spelled).path or "/")
    query = urlsplit(spelled).query
    return f"{resolved}?{query}" if query else resolved


def host_of(url: str) -> str:
    """Host and port: the unit of politeness."""
    return urlsplit(url).netloc


class Scope:
    """Which URLs a crawl may fetch."""

    def __init__(
        self, seeds: Sequence[str], include: Sequence[str], exclude: Sequence[str]
    ) -> None:
        self._hosts = frozenset(host_of(canonical_url(seed)) for seed in seeds)
        self._include = [re.compile(pattern) for pattern in include]
        self._exclude = [re.compile(pattern) for pattern in exclude]

    def admits(self, url: str) -> bool:
        """Whether a canonical URL is within scope."""
        if any(pattern.search(url) for pattern in self._exclude):
            return False
        if self._include:
            return any(pattern.search(url) for pattern in self._include)
        return host_of(url) in self._hosts
