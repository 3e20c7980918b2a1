"""Documents from addresses that a list forbids.

No list is built in. UT1's, https://dsi.ut-capitole.fr/blacklists, are the ones that others take.

Source: the kinds of lists are FineWeb's, arXiv:2406.17557 §3.3.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Literal
from urllib.parse import urlsplit

from tasks.clean.filters.candidate import Bound, Candidate, Signals
from tasks.clean.filters.terms import Entry, listed
from tasks.config import Config, knob

_SCHEMES = ("http:", "https:")
_ALPHANUMERIC = b"abcdefghijklmnopqrstuvwxyz0123456789"
_SPACED = bytes(code if code in _ALPHANUMERIC else 32 for code in range(256))


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
        hosts, domains, urls, words, soft_words = self._lists
        url = candidate.url.lower()
        above, found = _domains(url), _words(url)
        return {
            "num_blocked_hosts": len(hosts.intersection(above[:1])),
            "num_blocked_domains": len(domains.intersection(above)),
            "num_blocked_urls": 1 if url in urls else 0,
            "num_blocked_url_words": len(words.intersection(found)),
            "num_soft_url_words": len(soft_words.intersection(found)),
            "num_blocked_url_substrings": sum(map("".join(found).__contains__, self._substrings)),
        }

    @cached_property
    def _lists(self) -> list[frozenset[str]]:
        """As they are searched: reading them again would hash each of their entries."""
        return list(map(listed, (self.hosts, self.domains, self.urls, self.words, self.soft_words)))

    @cached_property
    def _substrings(self) -> list[str]:
        pieces = ("".join(_words(piece)) for piece in sorted(listed(self.substrings)))
        return [piece for piece in pieces if piece]

    def bounds(self) -> tuple[Bound, ...]:
        return (
            Bound("blocked_host", "num_blocked_hosts", max=0),
            Bound("blocked_domain", "num_blocked_domains", max=0),
            Bound("blocked_url", "num_blocked_urls", max=0),
            Bound("blocked_url_word", "num_blocked_url_words", max=0),
            Bound("soft_url_words", "num_soft_url_words", max=self.max_soft_words),
            Bound("blocked_url_substring", "num_blocked_url_substrings", max=0),
        )


def _words(url: str) -> list[str]:
    """What stands in a URL between characters other than small ASCII letters and digits."""
    return url.encode("utf-8", "surrogatepass").translate(_SPACED).decode("ascii").split()


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
