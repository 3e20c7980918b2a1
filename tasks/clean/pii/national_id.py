"""Numbers that states give to people.

What makes a number sure differs: two check characters and a date of birth among seventeen digits
(China) are proof; twelve digits with a province in front (Vietnam) are not. A number that is sure
by itself, or by the signs in it (`123-45-6789`, `AB 12 34 56 C`), counts anywhere; others only
right behind their name, such as `CCCD`, `BSN` or `Steuer-ID`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from tasks.clean.pii.countries import COUNTRIES, Country, Number
from tasks.clean.pii.passage import Passage, Span
from tasks.clean.pii.placeholder import PLACEHOLDER_SAYS, Placeholder
from tasks.config import Config, knob

_LONGEST_LABEL = 48


class NationalId(Config):
    """National identity, tax and insurance numbers of the countries named."""

    kind: Literal["national_id"] = "national_id"
    placeholder: Placeholder = knob("<NATIONAL_ID>", PLACEHOLDER_SAYS)
    countries: tuple[Country, ...] = knob(
        tuple(COUNTRIES), "ISO 3166 codes of the countries whose numbers are sought", min_length=1
    )

    def spans(self, passage: Passage) -> Iterator[Span]:
        """Where such numbers stand."""
        found = sorted(
            span
            for country in self.countries
            for number in COUNTRIES[country]
            for span in _spans_of(passage, number)
        )
        end = 0
        for start, stop in found:
            if start >= end:
                end = stop
                yield start, stop


def _spans_of(passage: Passage, number: Number) -> Iterator[Span]:
    matches = (
        passage.numbers(number.form) if number.is_digits else number.form.finditer(passage.text)
    )
    for match in matches:
        plain = re.sub("[ .+/-]", "", match[0])
        if number.is_valid(plain) and _is_labelled(match, number.label):
            yield match.span()


def _is_labelled(match: re.Match[str], label: re.Pattern[str] | None) -> bool:
    start = match.start()
    before = match.string[max(0, start - _LONGEST_LABEL) : start]
    return label is None or bool(label.search(before))
