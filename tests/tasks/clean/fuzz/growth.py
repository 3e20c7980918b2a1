"""How CPU time grows with a text: twice the text, twice the time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, get_args

from tasks.clean.extractors import Auto, Resiliparse
from tasks.clean.filters import Candidate, Filter
from tasks.clean.judging import closed, read_plain
from tasks.clean.language import LanguageDetector
from tasks.clean.pii import Pii
from tasks.clean.pii.masking import Passage
from tasks.clean.text import decode, tidy
from tasks.clean.trims import Trim
from tests.tasks.clean.test_filters import RULES

MOST = 3.0
"""Times as long that twice the text may take: quadratic work takes 4, linear work beyond the
processor's caches 2.7 on a busy machine."""

_SURELY_S = 0.03
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


def seconds(work: Work, text: str) -> float:
    """CPU time."""
    begun = time.process_time()
    work(text)
    return time.process_time() - begun


def superlinear(work: Work, piece: str, most: int = 200_000) -> str:
    """How time grows with the piece repeated, if faster than the text; empty if not.

    The text is doubled until its time can be told, up to `most` characters (quadratic work takes
    long enough sooner), then twice more: both steps have to be too long, since one alone may be the
    machine's. The least of two times counts.
    """
    size = 25_000 // len(piece)
    while (first := _least(work, piece * size)) < _SURELY_S:
        size *= 2
        if size * len(piece) > most:
            return ""
    second = _least(work, piece * size * 2)
    if second <= MOST * first:
        return ""
    third = seconds(work, piece * size * 4)
    if third <= MOST * second:
        return ""
    told = ", ".join(f"{one * 1e3:.0f}" for one in (first, second, third))
    return (
        f"{piece!r}: {told} ms for {size * len(piece):,} characters, twice and four times as many"
    )


def _least(work: Work, text: str) -> float:
    return min(seconds(work, text), seconds(work, text))
