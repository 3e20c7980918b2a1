"""Documents from addresses that a list forbids.

No list is built in. UT1's, https://dsi.ut-capitole.fr/blacklists, are the ones that others take.

Source: the kinds of lists are FineWeb's, arXiv:2406.17557 §3.3.
"""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import urlsplit

from tasks.clean.filters.bounds import Bound, Signals
from tasks.clean.filters.candidate import Candidate
from tasks.clean.filters.lists import Entry, listed
from tasks.config import Config, knob

_NOT_ALPHANUMERIC = re.compile(r"[^a-z0-9]+")


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
        url = candidate.url.lower()
        words = set(_NOT_ALPHANUMERIC.split(url))
        joined = _NOT_ALPHANUMERIC.sub("", url)
        pieces = (_NOT_ALPHANUMERIC.sub("", piece) for piece in listed(self.substrings))
        host = _host(url)
        return {
            "num_blocked_hosts": int(host in listed(self.hosts)),
            "num_blocked_domains": len(listed(self.domains).intersection(_domains(host))),
            "num_blocked_urls": int(url in listed(self.urls)),
            "num_blocked_url_words": len(words & listed(self.words)),
            "num_soft_url_words": len(words & listed(self.soft_words)),
            "num_blocked_url_substrings": sum(bool(piece) and piece in joined for piece in pieces),
        }

    def bounds(self) -> tuple[Bound, ...]:
        return (
            Bound("blocked_host", "num_blocked_hosts", max=0),
            Bound("blocked_domain", "num_blocked_domains", max=0),
            Bound("blocked_url", "num_blocked_urls", max=0),
            Bound("blocked_url_word", "num_blocked_url_words", max=0),
            Bound("soft_url_words", "num_soft_url_words", max=self.max_soft_words),
            Bound("blocked_url_substring", "num_blocked_url_substrings", max=0),
        )


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:  # brackets that hold no IPv6 address
        return ""


def _domains(host: str) -> list[str]:
    """A host and all domains above it."""
    labels = host.split(".")
    return [".".join(labels[n:]) for n in range(len(labels))] if host else []
