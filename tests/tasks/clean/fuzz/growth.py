"""How CPU time grows with a text: twice the text, twice the time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, get_args

from tasks.clean.extractors import Auto, Resiliparse, Trafilatura
from tasks.clean.filters import Candidate, Filter
from tasks.clean.language import LanguageDetector
from tasks.clean.pii import Pii
from tasks.clean.pii.passage import Passage
from tasks.clean.plain import read_plain
from tasks.clean.text import decode, tidy
from tasks.clean.trims import Trim
from tasks.clean.xhtml import closed
from tests.tasks.clean.test_filters import RULES

MOST = 2.6
"""Times as long that twice the text may take."""

_SURELY_S = 0.02
"""Below, a ratio says more of the clock than of the work."""

Work = Callable[[str], Any]


def works() -> Iterator[tuple[str, Work]]:
    """All that reads a whole text, by name."""
    yield "tidy", tidy
    yield "detect", LanguageDetector().detect
    yield "markdown title", lambda text: read_plain(text.encode(), "utf-8", "text/markdown")
    for trim in get_args(get_args(Trim)[0]):
        yield trim.__name__, trim().apply
    for kind in get_args(get_args(Pii)[0]):
        yield kind.__name__, _spans(kind())
    for member in get_args(get_args(Filter)[0]):
        yield member.__name__, _measure(RULES[member])


def _spans(kind: Any) -> Work:
    return lambda text: list(kind.spans(Passage(text)))


def _measure(rule: Any) -> Work:
    return lambda text: [rule.measure(Candidate(text, code)) for code in ("en", "zh")]


def html_works() -> Iterator[tuple[str, Work]]:
    """All that reads HTML."""
    yield "decode", lambda text: [decode(text.encode(), name) for name in ("", "utf-16", "gbk")]
    yield "closed", lambda text: closed(text.encode())
    for way in ("article", "reference"):
        yield f"auto {way}", lambda html, way=way: Auto(way=way, markdown=True).extract(html, "")
    yield "resiliparse", lambda html: Resiliparse().extract(html, "")
    yield "resiliparse, all", lambda html: Resiliparse(main_content=False).extract(html, "")


def slow_html_works() -> Iterator[tuple[str, Work]]:
    """What is trafilatura's own: its time is bounded by the sandbox alone."""
    yield "trafilatura", lambda html: Trafilatura().extract(html, "")


def seconds(work: Work, text: str) -> float:
    """CPU time."""
    begun = time.process_time()
    work(text)
    return time.process_time() - begun


def superlinear(work: Work, piece: str, characters: int = 50_000, most_s: float = 6.0) -> str:
    """How time grows with the piece repeated, if faster than the text; empty if not.

    Doubled until it takes long enough to be told, then twice more: one bad figure is the machine's.
    """
    size = characters // len(piece)
    taken = [seconds(work, piece * size)]
    while taken[-1] < _SURELY_S and size * len(piece) < 2_000_000:
        size *= 2
        taken.append(seconds(work, piece * size))
    if taken[-1] < _SURELY_S:
        return ""
    first = min(taken[-1], seconds(work, piece * size))
    second = min(seconds(work, piece * size * 2) for _ in range(2))
    if second <= MOST * first:
        return ""
    third = seconds(work, piece * size * 4) if second * 4 < most_s else second * MOST * 1.01
    told = ", ".join(f"{one * 1000:.0f}" for one in (first, second, third))
    size_kb = size * len(piece) / 1000
    return f"{piece!r}: {told} ms for {size_kb:.0f} KB, twice, four times" * (
        third > MOST * second or third > (MOST**2) * first
    )
