"""What a page and its host say about the use of the page, as plain signals.

A signal is one word, such as `noindex` or `ai-train=no`. Here they are only read; which of them a
crawl obeys is its own matter (`obeyed`). Where a text contradicts itself, the refusal counts.

Source: Google's robots meta tag page (X-Robots-Tag and meta robots); W3C TDMRep 2024
(tdm-reservation: meta before header before tdmrep.json); contentsignals.org; `noai` and
`noimageai` are DeviantArt's. Protego reads no Content-Signal, and nothing on PyPI reads the rest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from tasks.crawl.captures import Capture, RejectedUrl
from tasks.crawl.live.links import PageLinks
from tasks.crawl.urls import canonical_url

Headers = Sequence[tuple[str, str]]

_RESERVATION = "tdm-reservation"
_SIGNAL = "content-signal"
_DIRECTIVES = frozenset(
    {"noindex", "nofollow", "noarchive", "nosnippet", "noimageindex", "noai", "noimageai"}
)
_VALUED = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})
_USES = frozenset({"search", "ai-input", "ai-train"})

_MAX_RULES = 1_000  # of one tdmrep.json
_MAX_TEXT = 16_384  # characters of one header or meta element
_COMMA = re.compile("(?i)(?<!mon|tue|wed|thu|fri|sat|sun|day),")  # not the one in "Fri, 25 Jun"
_USE = re.compile(r"(?<![\w-])([\w-]++)\s*+=\s*+(yes|no)\b")
_LINK = re.compile(r'<([^<>]*)>((?:[^,"<]|"[^"]*")*)')
_PARAMETER = re.compile(r';\s*+([\w*-]++)\s*+=\s*+(?:"([^"]*)"|([^",;\s]*))')


class Reservation(NamedTuple):
    """One rule of tdmrep.json: whether text and data mining is reserved below `location`."""

    location: str
    reserved: bool


@dataclass(frozen=True)
class HostPolicy:
    """What a host says of all its pages; one that says nothing is `HostPolicy()`."""

    reservations: tuple[Reservation, ...] = ()
    uses: tuple[str, ...] = ()

    def reservation(self, path: str) -> Reservation | None:
        """Find the rule of the longest location that matches; of equal ones, one that reserves."""
        plain = unquote(path)
        matching = [rule for rule in self.reservations if _matches(rule.location, plain)]
        return max(matching, key=lambda rule: (len(rule.location), rule.reserved), default=None)


def host_policy(tdmrep: str = "", robots: str = "", agent: str = "phusa") -> HostPolicy:
    """Read the texts of /.well-known/tdmrep.json and robots.txt; what is malformed says nothing."""
    return HostPolicy(tuple(_reservations(tdmrep)), _uses(_group(robots, agent.lower())))


def page_policy(
    headers: Headers,
    links: PageLinks,
    *,
    now: datetime,
    host: HostPolicy | None = None,
    path: str = "/",
    agent: str = "phusa",
) -> tuple[str, ...]:
    """Gather all signals for a page, sorted: those of its host, its response and its markup.

    `unavailable_after` a date before `now` reads as `noindex`, `none` as `noindex` and `nofollow`.
    """
    host = host or HostPolicy()
    signals: set[str] = set()
    for text in [*_values(headers, "x-robots-tag"), links.robots]:
        signals.update(_directives(text[:_MAX_TEXT], now, agent.lower()))
    own = _uses(_values(headers, _SIGNAL))
    told = {use.partition("=")[0] for use in own}
    signals.update(own, (use for use in host.uses if use.partition("=")[0] not in told))
    if _reserved(headers, links, host, path):
        signals.add(_RESERVATION)
    return tuple(sorted(signals))


def with_policy(capture: Capture, page: PageLinks, host: HostPolicy | None = None) -> Capture:
    """Add what a page's host, response and markup say: signals and licence."""
    headers, url = capture.headers, capture.url
    path, now = urlsplit(url).path or "/", capture.fetched_at
    signals = page_policy(headers, page, now=now, host=host, path=path)
    return replace(capture, policy=" ".join(signals), licence=licence_of(headers, page, url))


def obeyed(capture: Capture, obey: Collection[str]) -> RejectedUrl | None:
    """Reject a page for the first signal that forbids to keep it, if one does that is obeyed."""
    forbidden = next((signal for signal in capture.policy.split() if signal in obey), None)
    if forbidden is None:
        return None
    return RejectedUrl(capture.url, "policy", forbidden, "no such signal")


def licence_of(headers: Headers, links: PageLinks, url: str) -> str:
    """Return the canonical URL of the page's licence, or ""."""
    return header_link(headers, "license", url) or links.licence


def header_link(headers: Headers, rel: str, url: str) -> str:
    """Return the canonical target of the page's first Link header with this relation, or "".

    Source: RFC 8288. A link with an `anchor` is another page's.
    """
    for value in _values(headers, "link"):
        for target, rest in _LINK.findall(value[:_MAX_TEXT]):
            told = {name.lower(): quoted or bare for name, quoted, bare in _PARAMETER.findall(rest)}
            if rel in told.get("rel", "").lower().split() and "anchor" not in told:
                with suppress(ValueError):
                    return canonical_url(target, url)
    return ""


def _values(headers: Headers, name: str) -> list[str]:
    return [value.strip() for key, value in headers if key.lower() == name]


def _directives(text: str, now: datetime, agent: str) -> Iterator[str]:
    """Read one header or meta element. `bot: noindex, nofollow` speaks to that bot to its end."""
    for_us = True
    for part in _COMMA.split(text):
        name, colon, rest = part.partition(":")
        if colon and name.strip().lower() not in _VALUED:
            for_us = name.strip().lower() in (agent, "*")
            name, colon, rest = rest.partition(":")
        if for_us:
            yield from _directive(name, rest, now)


def _directive(name: str, value: str, now: datetime) -> Iterator[str]:
    for word in name.lower().split():
        if word in _DIRECTIVES:
            yield word
        elif word == "none":
            yield from ("noindex", "nofollow")
        elif word == "unavailable_after" and _is_past(value.strip(), now):
            yield "noindex"


def _is_past(date: str, now: datetime) -> bool:
    """Whether an RFC 822, RFC 850 or ISO 8601 date lies before `now`; false for what is none."""
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        with suppress(ValueError, TypeError, IndexError, OverflowError):
            moment = parse(date)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) < now
    return False


def _uses(texts: Iterable[str]) -> tuple[str, ...]:
    """Read `search=yes, ai-train=no` as signals; what is refused once is refused."""
    told: dict[str, str] = {}
    for text in texts:
        for use, answer in _USE.findall(text[:_MAX_TEXT].lower()):
            if use in _USES and told.get(use) != "no":
                told[use] = answer
    return tuple(sorted(f"{use}={answer}" for use, answer in told.items()))


def _group(robots: str, agent: str) -> list[str]:
    """Return the Content-Signal lines for our agent (RFC 9309 §2.2.1), else those for all."""
    lines: dict[str, list[str]] = {"*": []}
    agents, in_heading = ["*"], False  # lines before the first group are for all
    for line in robots.splitlines():
        key, colon, value = (part.strip() for part in line.partition("#")[0].partition(":"))
        if key.lower() == "user-agent":
            agents = [*(agents if in_heading else []), value.lower().partition("/")[0]]
            in_heading = True
        elif colon and key.lower() not in ("sitemap", "host"):
            in_heading = False
            for name in agents if key.lower() == _SIGNAL else ():
                lines.setdefault(name, []).append(value)
        if in_heading:
            lines.setdefault(agents[-1], [])
    return lines.get(agent, lines["*"])


def _reserved(headers: Headers, links: PageLinks, host: HostPolicy, path: str) -> bool:
    for said in (links.tdm, *_values(headers, _RESERVATION)):
        if said.strip() in ("0", "1"):
            return said.strip() == "1"
    rule = host.reservation(path)
    return rule is not None and rule.reserved


def _reservations(text: str) -> Iterator[Reservation]:
    try:
        rules: Any = json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        return
    for rule in (rules if isinstance(rules, list) else [rules])[:_MAX_RULES]:
        if isinstance(rule, dict) and isinstance(location := rule.get("location"), str):
            yield Reservation(
                unquote(location[:_MAX_TEXT]),
                str(rule.get(_RESERVATION)).lower() in ("1", "true"),
            )


def _matches(location: str, path: str) -> bool:
    """Match as robots.txt does: a prefix, with `*` any text and `$` the end. Linear: no regex."""
    *parts, last = location.removesuffix("$").split("*")
    position = 0
    for number, part in enumerate(parts):
        found = path.find(part, position)
        if found < 0 or (number == 0 and found):
            return False
        position = found + len(part)
    if location.endswith("$"):
        tail = path[position:]
        return tail.endswith(last) if parts else path == last
    return path.find(last, position) >= 0 if parts else path.startswith(last)
