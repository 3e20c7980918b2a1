"""One spelling for each URL, and the question whether it is in scope.

courlan's `normalize_url` does the spelling (case, ports, non-ASCII); its stricter `clean_url` also
drops pages that look unlike articles, which a crawl within scope wants. Here is what it leaves:
fragments, dot segments, escapes (RFC 3986 §6.2.2), and queries, of which it drops every parameter
without a value (`?page2`) and mangles every byte that is not UTF-8.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import quote_plus, unquote_to_bytes, urldefrag, urljoin, urlsplit

from courlan import normalize_url
from courlan.clean import TRACKERS_RE

_ESCAPE = re.compile("%([0-9A-Fa-f]{2})?")
_UNRESERVED = re.compile("[A-Za-z0-9._~-]")


def canonical_url(url: str, base: str | None = None) -> str:
    """The canonical spelling of `url`, resolved against `base`.

    Raises ValueError for anything but an absolute http(s) URL with a host.
    """
    absolute = urldefrag(urljoin(base, url.strip()) if base else url.strip()).url
    parts = urlsplit(absolute)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError(f"{url!r} is not a URL that can be fetched; expected http(s)://host/…")
    spelled = str(normalize_url(parts._replace(query="")))
    path = _ESCAPE.sub(_shortest_escape, urlsplit(spelled).path) or "/"
    resolved = urljoin(spelled, path)
    query = _spelled_query(parts.query)
    return f"{resolved}?{query}" if query else resolved


def _shortest_escape(escape: re.Match[str]) -> str:
    char = chr(int(escape[1] or "25", 16))  # a bare % stands for itself
    return char if _UNRESERVED.fullmatch(char) else f"%{ord(char):02X}"


def _spelled_query(query: str) -> str:
    """The parameters without trackers, by name, each escaped in one way."""
    pairs = (part.partition("=") for part in query.split("&") if part)
    kept = [
        (_spelled(name), equals, _spelled(value))
        for name, equals, value in pairs
        if not TRACKERS_RE.search(name.lower())
    ]
    return "&".join("".join(parts) for parts in sorted(kept, key=lambda parts: parts[0]))


def _spelled(part: str) -> str:
    return quote_plus(unquote_to_bytes(part.replace("+", " ")))


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
