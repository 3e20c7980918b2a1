"""What a filter is given."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from tasks.clean.filters.words import UNSPACED, split_words

if TYPE_CHECKING:
    from tasks.clean.kernels.scan import Codes, Counts, Places

_TOKEN = re.compile(r"\w+")


class Repeats(NamedTuple):
    """Of pieces of a text: how many there are, how many stand there already, in characters too."""

    num: int
    num_characters: int
    repeated: int
    repeated_characters: int

    @property
    def share(self) -> float:
        """Share of pieces that stand there already, 0-1."""
        return self.repeated / self.num if self.num else 0.0


class Tables(NamedTuple):
    """Where the words of a text are and its lines with something on them, in code points, and what
    `tasks.clean.kernels.scan` counts."""

    word_starts: Places
    word_ends: Places
    line_starts: Places
    line_ends: Places
    counts: Counts


@dataclass(frozen=True)
class Candidate:
    """A document on trial; what several filters ask of it is found once."""

    text: str
    language: str
    url: str = ""

    @cached_property
    def words(self) -> list[str]:
        return split_words(self.text, self.language)

    @cached_property
    def lines(self) -> list[str]:
        """Lines with something on them, as they stand."""
        return [line for line in self.text.split("\n") if line and not line.isspace()]

    @cached_property
    def codes(self) -> Codes:
        """The text's code points."""
        from tasks.clean.kernels.characters import code_points

        return code_points(self.text)

    @cached_property
    def tables(self) -> Tables:
        """Words and lines, without a string for each: 20 µs for 1 000 words, `words` takes 45."""
        from tasks.clean.kernels import characters, scan

        unspaced = self.language in UNSPACED
        return Tables(*scan.scan(self.codes, characters.classes(), unspaced))

    @property
    def num_words(self) -> int:
        """Words but symbols: what has no letter or digit."""
        from tasks.clean.kernels.scan import NUM_SYMBOLS

        return self.tables.word_starts.size - int(self.tables.counts[NUM_SYMBOLS])

    @cached_property
    def lowered(self) -> str:
        return self.text.lower()

    @cached_property
    def spaced_tokens(self) -> str:
        """Runs of letters and digits in lower case, a space before and behind each."""
        return f" {' '.join(_TOKEN.findall(self.lowered))} "

    @cached_property
    def token_counts(self) -> Counter[str]:
        """How often each run of letters and digits is there, in lower case."""
        return Counter(self.spaced_tokens.split())

    @cached_property
    def line_repeats(self) -> Repeats:
        return self._repeats(self.tables.line_starts, self.tables.line_ends)

    @cached_property
    def paragraph_repeats(self) -> Repeats:
        """Of what stands between blank lines."""
        from tasks.clean.kernels.repeats import paragraphs

        return self._repeats(*paragraphs(self.codes))

    def _repeats(self, starts: Places, ends: Places) -> Repeats:
        from tasks.clean.kernels.repeats import repeats

        return Repeats(starts.size, *repeats(self.codes, starts, ends))

    @property
    def repeated_share(self) -> float:
        """Share of the lines' characters in lines that stand there already, 0-1."""
        lines = self.line_repeats
        return lines.repeated_characters / lines.num_characters if lines.num else 0.0
