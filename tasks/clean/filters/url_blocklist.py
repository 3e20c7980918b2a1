"""Documents from addresses that a list forbids.

No list is built in. UT1's, https://dsi.ut-capitole.fr/blacklists, are the ones that others take.

Source: the kinds of lists are FineWeb's, arXiv:2406.17557 §3.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal, TypeVar
from urllib.parse import urlsplit

from tasks.clean.filters.bounds import Bound, Signals
from tasks.clean.filters.candidate import Candidate
from tasks.clean.filters.lists import Entry, listed
from tasks.config import Config, knob

_Text = TypeVar("_Text", str, bytes)

_SCHEMES = ("http:", "https:")
_ALPHANUMERIC = b"abcdefghijklmnopqrstuvwxyz0123456789"
_SPACED = bytes(code if code in _ALPHANUMERIC else 32 for code in range(256))
_OTHERS = bytes(code for code in range(256) if code not in _ALPHANUMERIC)


@dataclass(frozen=True)
class _Lists:
    """The lists of one configuration, as they are searched."""

    hosts: frozenset[str]
    domains: frozenset[str]
    urls: frozenset[str]
    words: frozenset[bytes]
    soft_words: frozenset[bytes]
    substrings: tuple[bytes, ...]


class UrlBlocklist(Config):
    """Drop documents by where they come from. Each list may name files. Without a list: none."""

    kind: Literal["url_blocklist"] = "url_blocklist"
    hosts: tuple[Entry, ...] = knob((), "host names, exactly: www.example.org")
    domains: tuple[Entry, ...] = knob((), "domains with all hosts below: example.org")
    urls: tuple[Entry, ...] = knob((), "whole URLs, in any case")
    words: tuple[Entry, ...] = knob(
        (), "words in a URL, between characters other than letters and digits"
    )
    soft_words: tuple[Entry, ...] = knob((), "words of which a URL may have some")
    max_soft_words: int = knob(
        1, "different soft words", ge=0, source="datatrove's URLFilter drops from 2 on"
    )
    substrings: tuple[Entry, ...] = knob(
        (), "letters and digits that may stand anywhere in a URL, across others too"
    )

    def measure(self, candidate: Candidate) -> Signals:
        """Numbers of entries that fit the URL."""
        lists, url = self._lists, candidate.url.lower()
        domains = _domains(url)
        words = url.encode("utf-8", "surrogatepass").translate(_SPACED).split()
        return {
            "num_blocked_hosts": 1 if domains and domains[0] in lists.hosts else 0,
            "num_blocked_domains": _num_listed(domains, lists.domains),
            "num_blocked_urls": 1 if url in lists.urls else 0,
            "num_blocked_url_words": _num_listed(words, lists.words),
            "num_soft_url_words": _num_listed(words, lists.soft_words),
            "num_blocked_url_substrings": _num_within(words, lists.substrings),
        }

    @cached_property
    def _lists(self) -> _Lists:
        pieces = (_plain(piece) for piece in sorted(listed(self.substrings)))
        return _Lists(
            hosts=listed(self.hosts),
            domains=listed(self.domains),
            urls=listed(self.urls),
            words=frozenset(word.encode("utf-8", "surrogatepass") for word in listed(self.words)),
            soft_words=frozenset(
                word.encode("utf-8", "surrogatepass") for word in listed(self.soft_words)
            ),
            substrings=tuple(piece for piece in pieces if piece),
        )

    def bounds(self) -> tuple[Bound, ...]:
        return (
            Bound("blocked_host", "num_blocked_hosts", max=0),
            Bound("blocked_domain", "num_blocked_domains", max=0),
            Bound("blocked_url", "num_blocked_urls", max=0),
            Bound("blocked_url_word", "num_blocked_url_words", max=0),
            Bound("soft_url_words", "num_soft_url_words", max=self.max_soft_words),
            Bound("blocked_url_substring", "num_blocked_url_substrings", max=0),
        )


def _plain(url: str) -> bytes:
    return url.encode("utf-8", "surrogatepass").translate(None, _OTHERS)


def _num_listed(found: Sequence[_Text], entries: frozenset[_Text]) -> int:
    if entries.isdisjoint(found):  # almost always
        return 0
    return len(entries.intersection(found))


def _num_within(words: list[bytes], pieces: tuple[bytes, ...]) -> int:
    if not pieces:
        return 0
    num, joined = 0, b"".join(words)
    for piece in pieces:
        num += piece in joined
    return num


def _domains(url: str) -> tuple[str, ...]:
    """The host of a URL and all domains above it."""
    parts = url.split("/", 3)
    if len(parts) == 4 and not parts[1] and parts[0] in _SCHEMES:
        return _domains_of(f"http://{parts[2]}/")
    return _domains_of(url)


@lru_cache(maxsize=4096)
def _domains_of(url: str) -> tuple[str, ...]:
    """Of a URL, mostly one without path: pages of a host come one after the other."""
    try:
        host = (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:  # brackets that hold no IPv6 address
        host = ""
    labels = host.split(".")
    return tuple(".".join(labels[n:]) for n in range(len(labels))) if host else ()
