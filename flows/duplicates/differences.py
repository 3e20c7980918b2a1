"""What two texts do not have in common, by words or by lines.

A patience diff: what stands once in each text, in the same order, is where the two are held
together; what lies between is compared again. difflib alone takes minutes for two texts of 100 000
words, because it tries every place of every frequent word.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise
from typing import Literal

Unit = Literal["words", "lines"]
Where = Literal["both", "kept", "dropped"]

# A word with the white space after it; where words have no spaces between them, one letter.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323ff"
)
_WORDS = re.compile(rf"(?:[{_UNSPACED}]|[^\s{_UNSPACED}]+)\s*")
_LINES = re.compile(r"[^\n]*\n|[^\n]+")
_CONTEXT = {"words": 8, "lines": 2}
_LONGEST = {"words": 60, "lines": 8}
_MOST_CHANGES = 20
_COMPARED = 250_000  # pairs of words that are left to difflib: 0.1 s
_DEPTH = 30
_RUN = 4  # tokens that hold two texts together where no single one does

Span = tuple[int, int, int, int]
"""From and to in one text, from and to in the other."""


@dataclass(frozen=True)
class Piece:
    """A run of text that stands in both, or in one alone.

    `folded` words (or lines) after it were left out.
    """

    where: Where
    text: str
    folded: int = 0


@dataclass(frozen=True)
class Difference:
    """Pieces in the order of the texts; `more` changes came after them.

    `only_kept` and `only_dropped` count the words or lines that stand in one text alone.
    """

    unit: Unit
    only_kept: int
    only_dropped: int
    pieces: tuple[Piece, ...]
    more: int


def compare(kept: str, dropped: str, unit: Unit = "words") -> Difference:
    """What the two texts differ by; white space does not count."""
    cut = _WORDS if unit == "words" else _LINES
    one, other = ([t for t in cut.findall(text) if t.strip()] for text in (kept, dropped))
    spans = list(changed_spans([t.strip() for t in one], [t.strip() for t in other]))
    shown = spans[:_MOST_CHANGES]
    return Difference(
        unit,
        sum(span[1] - span[0] for span in spans),
        sum(span[3] - span[2] for span in spans),
        tuple(_pieces(one, other, shown, _CONTEXT[unit], _LONGEST[unit])),
        len(spans) - len(shown),
    )


def changed_spans(one: Sequence[str], other: Sequence[str]) -> Iterator[Span]:
    """Where the two sequences differ, in order; neighbours are one span."""
    last: Span | None = None
    for span in _changes(one, other, (0, len(one), 0, len(other)), 0):
        if last is not None and (last[1], last[3]) == (span[0], span[2]):
            last = (last[0], span[1], last[2], span[3])
            continue
        if last is not None:
            yield last
        last = span
    if last is not None:
        yield last


def _changes(one: Sequence[str], other: Sequence[str], span: Span, depth: int) -> Iterator[Span]:
    start, end, begin, stop = span
    while start < end and begin < stop and one[start] == other[begin]:
        start, begin = start + 1, begin + 1
    while start < end and begin < stop and one[end - 1] == other[stop - 1]:
        end, stop = end - 1, stop - 1
    if start == end or begin == stop:
        if start < end or begin < stop:
            yield start, end, begin, stop
        return
    span = (start, end, begin, stop)
    anchors: list[tuple[int, int]] = []
    if depth < _DEPTH:
        anchors = _anchors(one, other, span, 1) or _anchors(one, other, span, _RUN)
    if anchors:
        bounds = [(start - 1, begin - 1), *anchors, (end, stop)]
        for (a, b), (c, d) in pairwise(bounds):
            yield from _changes(one, other, (a + 1, c, b + 1, d), depth + 1)
    elif (end - start) * (stop - begin) <= _COMPARED:
        matcher = SequenceMatcher(None, one[start:end], other[begin:stop], autojunk=False)
        for kind, a, b, c, d in matcher.get_opcodes():
            if kind != "equal":
                yield start + a, start + b, begin + c, begin + d
    else:
        yield start, end, begin, stop


def _anchors(
    one: Sequence[str], other: Sequence[str], span: Span, width: int
) -> list[tuple[int, int]]:
    """Where runs of `width` begin that stand once in each part, as many as are in the same order in
    both."""
    here, there = _runs(one, *span[:2], width), _runs(other, *span[2:], width)
    pairs = [(at, there[run]) for run, at in here.items() if run in there]
    # The longest ascending row (patience sorting): the least end of a row of each length so far.
    ends: list[int] = []
    tops: list[int] = []
    before: list[int] = []
    for number, (_, at) in enumerate(pairs):
        length = bisect_left(ends, at)
        before.append(tops[length - 1] if length else -1)
        if length == len(ends):
            ends.append(at)
            tops.append(number)
        else:
            ends[length], tops[length] = at, number
    row = []
    number = tops[-1] if tops else -1
    while number >= 0:
        row.append(pairs[number])
        number = before[number]
    return row[::-1]


def _runs(tokens: Sequence[str], start: int, end: int, width: int) -> dict[tuple[str, ...], int]:
    """Runs of tokens that stand once in this part, in their order, and where."""
    runs = list(zip(*(tokens[start + n : end] for n in range(width)), strict=False))
    counts = Counter(runs)
    return {run: at for at, run in enumerate(runs, start) if counts[run] == 1}


def _pieces(
    one: Sequence[str], other: Sequence[str], spans: Sequence[Span], context: int, longest: int
) -> Iterator[Piece]:
    """The spans, with some words of what lies around them."""
    at = 0
    for number, (start, end, begin, stop) in enumerate(spans):
        yield from _same(one[at:start], context, is_first=number == 0)
        yield from _only("kept", one[start:end], longest)
        yield from _only("dropped", other[begin:stop], longest)
        at = end
    after = one[at:]
    if spans and after:
        yield Piece("both", "".join(after[:context]), max(len(after) - context, 0))


def _same(tokens: Sequence[str], context: int, *, is_first: bool) -> Iterator[Piece]:
    ahead = 0 if is_first else context
    hidden = len(tokens) - ahead - context
    if hidden <= 0:
        if tokens:
            yield Piece("both", "".join(tokens))
        return
    yield Piece("both", "".join(tokens[:ahead]), hidden)
    yield Piece("both", "".join(tokens[-context:]))


def _only(where: Where, tokens: Sequence[str], longest: int) -> Iterator[Piece]:
    if tokens:
        yield Piece(where, "".join(tokens[:longest]), max(len(tokens) - longest, 0))
