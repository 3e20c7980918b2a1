"""What a filter is given."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cached_property
from itertools import count, filterfalse

import numpy as np

from tasks.clean.filters.words import Integers, split_words

_TOKEN = re.compile(r"\w+")


@dataclass(frozen=True)
class Repeats:
    """Of pieces of a text: how many there are, how many stand there already, in characters too."""

    num: int
    num_characters: int
    repeated: int
    repeated_characters: int

    @property
    def share(self) -> float:
        """Share of pieces that stand there already, 0-1."""
        return self.repeated / self.num if self.num else 0.0

    @staticmethod
    def of(pieces: list[str]) -> Repeats:
        length = sum(map(len, pieces))
        distinct = set(pieces)
        if len(distinct) == len(pieces):  # most texts
            return Repeats(len(pieces), length, 0, 0)
        repeated = sum(len(piece) * (n - 1) for piece, n in Counter(pieces).items() if n > 1)
        return Repeats(len(pieces), length, len(pieces) - len(distinct), repeated)


@dataclass(frozen=True)
class Candidate:
    """A document on trial; what several filters ask of it is found once.

    What is asked of words is asked of different ones, a quarter of all in real documents.
    """

    text: str
    language: str
    url: str = ""

    @cached_property
    def words(self) -> list[str]:
        return split_words(self.text, self.language)

    @cached_property
    def _numbered_words(self) -> tuple[dict[str, int], Integers]:
        numbers: defaultdict[str, int] = defaultdict(count().__next__)
        ids = np.fromiter(map(numbers.__getitem__, self.words), np.int64, len(self.words))
        return numbers, ids

    @cached_property
    def vocabulary(self) -> dict[str, int]:
        """Different words, in the order of the text, with their numbers from 0."""
        return self._numbered_words[0]

    @property
    def word_ids(self) -> Integers:
        """The number of each word of the text."""
        return self._numbered_words[1]

    @cached_property
    def word_counts(self) -> Integers:
        """How often each word of the vocabulary is there."""
        return np.bincount(self.word_ids, minlength=len(self.vocabulary))

    @cached_property
    def word_lengths(self) -> Integers:
        """Characters of each word of the vocabulary."""
        return np.fromiter(map(len, self.vocabulary), np.int64, len(self.vocabulary))

    @cached_property
    def without_letter(self) -> dict[str, int]:
        """Words without a letter of any script, and how often each is there."""
        # Most words are letters only, which one call tells; of the others the first character does.
        odd = (
            word
            for word in filterfalse(str.isalpha, self.vocabulary)
            if not (word[0].isalpha() or any(map(str.isalpha, word)))
        )
        counts = self.word_counts.tolist()
        return {word: counts[self.vocabulary[word]] for word in odd}

    @cached_property
    def symbols(self) -> dict[str, int]:
        """Words without a letter or digit, and how often each is there."""
        rest = self.without_letter.items()
        return {word: count for word, count in rest if not any(map(str.isalnum, word))}

    @property
    def num_words(self) -> int:
        """Words but symbols."""
        return len(self.words) - sum(self.symbols.values())

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
    def lines(self) -> list[str]:
        """Lines with something on them, as they stand."""
        return [line for line in self.text.split("\n") if line and not line.isspace()]

    @cached_property
    def line_repeats(self) -> Repeats:
        return Repeats.of(self.lines)

    @cached_property
    def paragraph_repeats(self) -> Repeats:
        """Of what stands between blank lines."""
        pieces = self.text.split("\n\n")
        if "\n\n\n" in self.text:  # not where a text is tidy
            pieces = [stripped for piece in pieces if (stripped := piece.strip("\n"))]
        return Repeats.of(pieces)

    @property
    def repeated_share(self) -> float:
        """Share of the lines' characters in lines that stand there already, 0-1."""
        lines = self.line_repeats
        return lines.repeated_characters / lines.num_characters if lines.num else 0.0
