"""A text in which personal data is sought, with what several kinds ask of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property

Span = tuple[int, int]
"""Start and end of a match."""

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
