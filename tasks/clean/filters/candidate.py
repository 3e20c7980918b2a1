"""What a filter is given, what it measures, what that may be, and the verdict where it is not.

A filter measures; its bounds decide. Signals are kept beside the verdicts, so that other bounds can
be tried without reading a page again.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from tasks.clean.text import code_points
from tasks.words import UNSPACED, split_words

if TYPE_CHECKING:
    from tasks.clean.kernels.scan import Codes, Places

Signals = Mapping[str, float]
"""What was measured, by name. NaN where it means nothing for a document: no bound is broken."""


@dataclass(frozen=True)
class Verdict:
    """Why a document is dropped: the rule, the measured value, the bound it broke."""

    reason: str
    value: str
    threshold: str


@dataclass(frozen=True)
class Bound:
    """What a signal may be, ends included, and the reason given where it is not."""

    reason: str
    signal: str
    min: float = -math.inf
    max: float = math.inf

    @property
    def says(self) -> str:
        """`>= 50`: what a value must be."""
        least = f">= {self.min:g}" if self.min > -math.inf else ""
        most = f"<= {self.max:g}" if self.max < math.inf else ""
        return " and ".join(filter(None, (least, most)))

    def verdict(self, signals: Signals) -> Verdict | None:
        """The verdict on a document with these signals, or None."""
        value = signals[self.signal]
        if value < self.min:
            return Verdict(self.reason, f"{value:.4g}", f">= {self.min:g}")
        if value > self.max:
            return Verdict(self.reason, f"{value:.4g}", f"<= {self.max:g}")
        return None


def judge(bounds: Iterable[Bound], signals: Signals) -> Verdict | None:
    """The first verdict, or None if all bounds are kept."""
    verdicts = (bound.verdict(signals) for bound in bounds)
    return next((verdict for verdict in verdicts if verdict is not None), None)


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
    """Where words are and lines with something on them, in code points; how many line feeds."""

    words: Places
    lines: Places
    num_line_feeds: int


class WordCounts(NamedTuple):
    """Of words: those without a letter, those that are symbols, the characters of the others."""

    without_letter: int
    symbols: int
    characters: int


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
    def codes(self) -> Codes:
        """The text's code points."""
        return code_points(self.text)

    @cached_property
    def tables(self) -> Tables:
        """No string is made of each word: 12 µs for 1 000 words, `words` takes 45."""
        from tasks.clean.kernels import characters, scan

        return Tables(*scan.scan(self.codes, characters.classes(), self.language in UNSPACED))

    @property
    def num_all_words(self) -> int:
        """Words, symbols included."""
        return len(self.tables.words)

    @cached_property
    def word_counts(self) -> WordCounts:
        from tasks.clean.kernels import characters, scan

        words = self.tables.words
        return WordCounts(*scan.count_words(self.codes, characters.classes(), words))

    @property
    def num_words(self) -> int:
        """Words but symbols: what has no letter or digit."""
        return self.num_all_words - self.word_counts.symbols

    @cached_property
    def mark_counts(self) -> list[int]:
        """Of `tasks.clean.kernels.scan.count_marks`."""
        from tasks.clean.kernels import characters, scan

        return scan.count_marks(self.codes, characters.classes()).tolist()  # type: ignore[no-any-return]

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
        return self._repeats(self.tables.lines)

    @cached_property
    def paragraph_repeats(self) -> Repeats:
        """Of what stands between blank lines."""
        from tasks.clean.kernels.repeats import paragraphs

        return self._repeats(paragraphs(self.codes))

    def _repeats(self, pieces: Places) -> Repeats:
        from tasks.clean.kernels.repeats import repeats

        return Repeats(len(pieces), *repeats(self.codes, pieces))

    @property
    def repeated_share(self) -> float:
        """Share of the lines' characters in lines that stand there already, 0-1."""
        lines = self.line_repeats
        return lines.repeated_characters / lines.num_characters if lines.num else 0.0
