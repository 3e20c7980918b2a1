"""URLs that a site can make without end: calendars, filters, relative links that pile up.

Everything is read off the URL, so the verdict is the same in every run. What a URL cannot show
alone is bounded by counting: URLs of one host that differ only in numbers and parameter values
are of one pattern, and a pattern gets only so many. Paths without a query or a date count for
nothing: a site may well have a million articles. Scrapy bounds depth and Heritrix repeated path
segments (`PathologicalPathDecideRule`, `TooManyPathSegmentsDecideRule`); no Python library does.
"""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Iterator, MutableMapping, Sequence
from itertools import groupby

Verdict = tuple[str, str, str]
"""What kind of trap, the measured value, and the threshold."""

MAX_URL = 2_000  # characters; Internet Explorer took 2 083, which still bounds what sites use
MAX_SEGMENTS = 20  # Heritrix's default
MAX_IN_A_ROW = 2  # Heritrix's default
MAX_OF_ONE_SEGMENT = 3
MAX_PARAMETERS = 12
FIRST_YEAR = 1600  # newspapers are as old, and digitised
YEARS_AHEAD = 2

_SCHEMA = "CREATE TABLE IF NOT EXISTS patterns (name TEXT PRIMARY KEY, count INTEGER NOT NULL)"
_DIGITS = re.compile("[0-9]+")
# `/2512/3` is as likely page 3 of article 2512, so months have two digits here.
_DATE = re.compile(r"(?<![0-9])([12][0-9]{3})[/-](?:0[1-9]|1[0-2])(?:[/-][0-3][0-9])?(?![0-9])")
_YEAR_PARAMETER = re.compile("(?:^|[&_])(?:year|yr)=([12][0-9]{3})(?![0-9])", re.IGNORECASE)


def pattern_of(url: str) -> str | None:
    """Return what a canonical URL has in common with its like; None where it is not counted.

    Host, path with each run of digits masked, and the names of its parameters, sorted. A path in
    which a name stands twice is of the pattern of all paths of the same names: relative links of a
    menu pile up so, in any order.
    """
    address, question, query = url.partition("?")
    origin, path = _split(address)
    names = [segment for segment in path.split("/") if segment and not segment.isdecimal()]
    if len(set(names)) < len(names):
        return f"{origin} {'/'.join(sorted(set(names)))}"
    if not question and not _DATE.search(path):
        return None
    parameters = sorted({_DIGITS.sub("#", part.partition("=")[0]) for part in query.split("&")})
    return f"{origin}{_DIGITS.sub('#', path)}?{'&'.join(parameters)}"


class PatternCounts(dict[str, int]):
    """How many URLs there are of each counted pattern: a dictionary that is written down."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._db.execute(_SCHEMA)
        super().__init__(self._db.execute("SELECT name, count FROM patterns").fetchall())

    def __setitem__(self, name: str, count: int) -> None:
        super().__setitem__(name, count)
        self._db.execute("INSERT OR REPLACE INTO patterns VALUES (?, ?)", (name, count))


class Traps:
    """Recognises endless URLs. `counts`, by pattern, is the caller's to keep and to restore."""

    def __init__(
        self, counts: MutableMapping[str, int], *, year: int, max_urls_per_pattern: int = 2_000
    ) -> None:
        self._counts = counts
        self._years = range(FIRST_YEAR, year + YEARS_AHEAD + 1)
        self._max_urls_per_pattern = max_urls_per_pattern

    def verdict(self, url: str) -> Verdict | None:
        """Return why a canonical URL is a trap, or None. It changes no count."""
        return next(self._verdicts(url), None)

    def note(self, url: str) -> None:
        """Count a URL that was taken."""
        if (pattern := pattern_of(url)) is not None:
            self._counts[pattern] = self._counts.get(pattern, 0) + 1

    def _verdicts(self, url: str) -> Iterator[Verdict]:
        if len(url) > MAX_URL:
            yield "url_length", str(len(url)), str(MAX_URL)
            return  # what follows would have to read it all
        address, _, query = url.partition("?")
        path = _split(address)[1]
        yield from _path_verdicts(path.strip("/").split("/"))
        if query and (num := query.count("&") + 1) > MAX_PARAMETERS:
            yield "num_parameters", str(num), str(MAX_PARAMETERS)
        for year in _years(path, query):
            if year not in self._years:
                yield "calendar_year", str(year), f"{self._years.start} to {self._years.stop - 1}"
        count = self._counts.get(pattern_of(url) or "", 0)
        if count >= self._max_urls_per_pattern:
            yield "urls_of_pattern", str(count), str(self._max_urls_per_pattern)


def _split(address: str) -> tuple[str, str]:
    start = address.find("/", 8)  # after https://
    return (address, "") if start < 0 else (address[:start], address[start:])


def _path_verdicts(segments: Sequence[str]) -> Iterator[Verdict]:
    if len(segments) > MAX_SEGMENTS:
        yield "num_segments", str(len(segments)), str(MAX_SEGMENTS)
    for width in (1, 2):
        if (num := _longest_run(segments, width)) > MAX_IN_A_ROW:
            yield "repeated_in_a_row", str(num), str(MAX_IN_A_ROW)
    if (num := max(Counter(segments).values())) > MAX_OF_ONE_SEGMENT:
        yield "repeated_segment", str(num), str(MAX_OF_ONE_SEGMENT)


def _longest_run(segments: Sequence[str], width: int) -> int:
    """Count how often `width` segments stand in a row: 3 for /a/b/a/b/a/b and width 2."""
    same = (segments[i] == segments[i + width] for i in range(len(segments) - width))
    runs = (sum(1 for _ in run) for is_same, run in groupby(same) if is_same)
    return max((run // width + 1 for run in runs), default=1)


def _years(path: str, query: str) -> Iterator[int]:
    for text in (path, query):
        yield from map(int, _DATE.findall(text))
    yield from map(int, _YEAR_PARAMETER.findall(query))
