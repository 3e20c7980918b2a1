"""A live crawl over HTTP: what to fetch and how politely."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, model_validator

from storage.errors import Fault
from tasks.config import Config, Misfit, Pattern, knob
from tasks.crawl.sources.local import HTML_TEXT, Content
from tasks.crawl.urls import canonical_url
from tasks.foresight import Known, Span, exactly
from tasks.languages import LanguageTag

Signal = Literal["noindex", "nofollow", "noai", "noarchive", "tdm-reservation", "ai-train=no"]
_OBEYED: tuple[Signal, ...] = ("noindex", "nofollow", "noai", "tdm-reservation", "ai-train=no")


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(f"no time zone {name!r}; expected a name as Asia/Ho_Chi_Minh") from error
    return name


def _is_local_name(host: str) -> bool:
    """Whether `host` means this machine or its network by its spelling alone."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


Hour = Annotated[int, knob(..., "hour of the day", ge=0, le=23)]


class Politeness(Config):
    """How a host is treated."""

    delay_s: float = knob(
        1.0,
        "seconds between two requests to one host, at least; robots.txt may ask for more",
        ge=0,
        le=3600,
        identity=False,
    )
    delay_factor: float = knob(
        5.0,
        "a slow host is left alone for so many times what its last answers took",
        source="Heritrix's delayFactor",
        ge=0,
        le=100,
        identity=False,
    )
    max_delay_s: float = knob(
        30.0, "seconds to which `delay_factor` may raise the delay", ge=0, le=3600, identity=False
    )
    connections_per_host: int = knob(
        1, "requests under way at once to one host", ge=1, le=64, identity=False
    )
    max_connections: int = knob(
        64, "requests under way at once to all hosts", ge=1, le=1024, identity=False
    )
    hours: tuple[Hour, Hour] | None = knob(
        None,
        "hours of the day in which hosts are asked: [22, 6] is from 22:00 to 6:00. Null: always",
        identity=False,
    )
    timezone: Annotated[str, AfterValidator(_known_zone)] = knob(
        "UTC", "time zone of `hours`, as Asia/Ho_Chi_Minh", identity=False
    )
    obey: tuple[Signal, ...] = knob(
        _OBEYED,
        "what pages and hosts may ask for and get: such pages are rejects, and links of a "
        "`nofollow` page are not followed. All signals are recorded whether obeyed or not",
    )

    @model_validator(mode="after")
    def _some_hour(self) -> Politeness:
        if self.hours is not None and self.hours[0] == self.hours[1]:
            raise ValueError(f"`hours` {list(self.hours)} leave no time; expected two that differ")
        return self


class Recrawl(Config):
    """How a crawl uses the one before it."""

    conditional: bool = knob(
        True,
        "ask with ETag and Last-Modified whether a known page has changed, and take an unchanged "
        "one over; off: fetch all bodies again",
        identity=False,
    )
    max_checks: int | None = knob(
        None,
        "known pages to ask for again, the likeliest to have changed first; the others are taken "
        "over unasked. Null: all",
        ge=0,
        identity=False,
    )


class PydocSite(Config):
    """Python's own documentation server as a child process on loopback, while the crawl runs."""

    kind: Literal["pydoc"] = "pydoc"
    port: int = knob(8630, "port on localhost; part of the URLs, so of all ids", ge=1024, le=65535)

    def expected(self, max_pages: int) -> Content:
        """Say what it has: 883 pages of 32 kB with Python 3.11, at 44 a second, a fifth text."""
        pages = Span(min(700, max_pages), min(1100, max_pages))
        body = pages * 32_000
        return Content(pages, body, body * Span(0.17, 0.25), exactly(1) + pages * Span(0.015, 0.04))


class WebSource(Config):
    """Follow links from the seeds, within scope, and keep every HTML page."""

    kind: Literal["web"] = "web"
    seeds: tuple[str, ...] = knob(
        ..., "URLs to start from (http or https): pages, sitemaps or feeds", min_length=1
    )
    domains: tuple[str, ...] = knob(
        (), "domains whose hosts are in scope, subdomains included, as [example.org]"
    )
    include: tuple[Pattern, ...] = knob(
        (),
        "regular expressions; a URL must match one (search). Empty, and no `domains`: the seeds' "
        "own hosts",
    )
    exclude: tuple[Pattern, ...] = knob((), "regular expressions; a URL that matches one is left")
    languages: tuple[LanguageTag, ...] = knob(
        (),
        "languages to ask servers for, the preferred first, as [vi, en]; translations (hreflang) "
        "in others are not followed. Empty: all",
    )
    sitemaps: bool = knob(True, "follow the sitemaps that robots.txt names")
    feeds: bool = knob(True, "follow the RSS, Atom and JSON feeds that pages name")
    max_depth: int = knob(16, "links followed from a seed", ge=0, le=1000)
    max_pages: int = knob(10_000, "pages kept at most", ge=1)
    max_pages_per_host: int | None = knob(None, "pages kept of one host at most", ge=1)
    max_bytes: int | None = knob(
        None, "bytes of all kept pages, decoded, after which no further page is asked for", ge=1
    )
    max_bytes_per_host: int | None = knob(None, "the same for one host", ge=1)
    max_page_bytes: int = knob(
        10_000_000, "bytes of one decoded body; a larger one is rejected", ge=1_000
    )
    max_urls_per_pattern: int = knob(
        2_000,
        "URLs of one host that differ in numbers alone and have a query or a date: calendars, "
        "search results, sessions",
        ge=1,
    )
    soft_404: bool = knob(
        True, "ask each host once for a page that it cannot have, and reject pages that look alike"
    )
    site: PydocSite | None = knob(None, "a website to serve on loopback while crawling it")
    contact: str | None = knob(
        None,
        "e-mail address or URL in the user agent, so that a site's owner can reach you; "
        "required for public hosts",
        pattern=r"^[!-~][ -~]*$",
        identity=False,
    )
    allow_private_addresses: bool = knob(
        False, "fetch from loopback, link-local and private addresses too", identity=False
    )
    politeness: Politeness = knob(Politeness(), "delays, connections, hours, what is obeyed")
    recrawl: Recrawl = knob(Recrawl(), "how the crawl before is used", identity=False)
    timeout_s: float = knob(30.0, "seconds for one whole request", gt=0, le=600, identity=False)
    retries: int = knob(
        2, "further tries after a connection error, 429 or 5xx", ge=0, le=10, identity=False
    )

    @model_validator(mode="after")
    def _reachable_by_owners(self) -> WebSource:
        hosts = [urlsplit(canonical_url(seed)).hostname or "" for seed in self.seeds]
        at_home = all(map(_is_local_name, hosts))
        if self.contact is not None and not re.search("@|://", self.contact):
            expected, remedy = "an e-mail address or a URL", "Write it as you@example.org."
            raise Misfit(self.contact, expected, remedy, code="contact_unusable", at="contact")
        if self.contact is None and not at_home:
            raise Misfit(
                "`contact` is missing",
                "an e-mail address or URL, because public hosts are only crawled by someone whom "
                "their owners can reach",
                "Add `contact: you@example.org`.",
                code="contact_missing",
                at="contact",
            )
        return self

    def foreseen(self, known: Known) -> Iterator[Fault]:
        """Seeds that are never fetched."""
        hosts = [urlsplit(canonical_url(seed)).hostname or "" for seed in self.seeds]
        here = [host for host in hosts if _is_local_name(host)]
        if here and not self.allow_private_addresses:
            where, found = "allow_private_addresses", f"false, and a seed on {here[0]}"
            expected = "true, for a host of this machine or network"
            remedy = "Set it if you may crawl that host, or take the seed out."
            yield Fault(where, found, expected, remedy, "private_address")

    def expected(self) -> Content:
        """Say what the crawl is expected to bring.

        A recipe that sets `max_pages` is taken to know that there are half as many; where it is
        left at its default the site may be small. A host that is asked once in `delay_s` answers
        in 5 to 500 ms.
        """
        if self.site is not None:
            return self.site.expected(self.max_pages)
        least = 0.5 if "max_pages" in self.model_fields_set else 0.02
        pages, polite = Span(least * self.max_pages, self.max_pages), self.politeness
        hosts = len({urlsplit(seed).netloc for seed in self.seeds})
        each = Span(max(polite.delay_s, 0.005), max(polite.delay_s, 0.05) * 1.5 + 0.05)
        body = pages * Span(20e3, 100e3)
        if self.max_bytes is not None:
            body = Span(min(body.low, self.max_bytes), min(body.high, self.max_bytes))
        return Content(pages, body, body * HTML_TEXT, exactly(1) + pages * each * (1 / hosts))

    @property
    def user_agent(self) -> str:
        return f"phusa/0.1 (+{self.contact or 'https://localhost/'})"

    @property
    def accept_language(self) -> str:
        """The header's value, or empty: each language a tenth less wanted than the one before."""
        named = enumerate(self.languages)
        return ", ".join(
            language if i == 0 else f"{language};q={max(1 - i / 10, 0.1):.1f}"
            for i, language in named
        )
