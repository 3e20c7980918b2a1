"""A text in which personal data is sought, and the text with placeholders in its stead."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated

from pydantic import StringConstraints

from tasks.clean.text import compose

if TYPE_CHECKING:
    from tasks.clean.pii import Pii

Span = tuple[int, int]
"""Start and end of a match."""

Placeholder = Annotated[
    str, StringConstraints(pattern=r"^[<\[{|][!-/:-?A-~]*[>\]}|]$", max_length=32)
]
"""Printable ASCII between brackets, with neither digit nor `@`: it never looks like, nor adds to,
what it stands for, and text that was masked once stays as it is."""

PLACEHOLDER_SAYS = "what takes its place: ASCII in brackets, without digits, spaces and @"

# One set, taken greedily and kept: nothing is read twice, whatever the text.
_REGION = re.compile(r"[0-9+(][0-9 ./()+\u2011-]{5,}+")
_LEAST_DIGITS = 6
_NOT_DIGITS = re.compile("[^0-9]+")

# What of a number may stand beside the region that holds its digits: the country, check digits and
# bank of an IBAN; what follows a letter in the middle (France's 2A).
_BEFORE, _BEHIND = 12, 24


class Passage:
    """A text; where its longer numbers are is found out once."""

    def __init__(self, text: str) -> None:
        self.text = text

    def numbers(self, form: re.Pattern[str]) -> Iterator[re.Match[str]]:
        """The matches of a form that has at least six digits, five of them or more with nothing
        but spaces and signs between them."""
        for start, stop in self._regions:
            yield from form.finditer(self.text, start, stop)

    @cached_property
    def _regions(self) -> list[Span]:
        """Where numbers are, with the letters beside them; one after the other.

        The last characters of each are there for what a form asks to stand behind it.
        """
        found: list[Span] = []
        for match in _REGION.finditer(self.text):
            if len(_NOT_DIGITS.sub("", match[0])) < _LEAST_DIGITS:
                continue
            start, stop = max(0, match.start() - _BEFORE), match.end() + _BEHIND
            if found and start <= found[-1][1]:
                start = found.pop()[0]
            found.append((start, stop))
        return found


def apart(spans: Iterable[Span]) -> Iterator[Span]:
    """The spans from first to last, without those that begin within one before them."""
    end = 0
    for start, stop in sorted(spans):
        if start >= end:
            end = stop
            yield start, stop


def stands_behind(label: re.Pattern[str], match: re.Match[str], longest: int) -> bool:
    """Whether a label ends where the match begins; so many characters before it are looked at."""
    start = match.start()
    return bool(label.search(match.string[max(0, start - longest) : start]))


def mask(text: str, kinds: Sequence[Pii]) -> tuple[str, list[str]]:
    """`text` with placeholders, and the kind of each thing that was replaced, sorted.

    One replacement may uncover another, so it goes on until no kind finds anything. It ends: every
    match holds a digit or an `@`, and no placeholder does. Text with nothing in it is returned as
    it is; other text is Unicode NFC again (a `>` before a combining stroke would become another
    character).
    """
    passage, found = Passage(text), list[str]()
    while True:
        before = len(found)
        for kind in kinds:
            spans = list(kind.spans(passage))
            if spans:
                passage = Passage(_filled(passage.text, spans, kind.placeholder))
                found += [kind.kind] * len(spans)
        if len(found) == before:
            return (compose(passage.text) if found else text), sorted(found)


def _filled(text: str, spans: Iterable[Span], placeholder: str) -> str:
    parts, end = [], 0
    for start, stop in spans:
        parts += [text[end:start], placeholder]
        end = stop
    return "".join([*parts, text[end:]])
