"""Gopher's quality rules; the number of words is `Length`'s.

Source: arXiv:2112.11446 table A1.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from tasks.clean.filters.bounds import Bound, Signals
from tasks.clean.filters.candidate import Candidate
from tasks.clean.filters.stop_words import STOP_WORDS
from tasks.clean.filters.words import UNSPACED
from tasks.config import Config, knob

_BULLETS = ("-", "*", "•", "‣", "◦", "–")  # noqa: RUF001 (an en dash is meant)
_ELLIPSES = ("...", "…")


class GopherQuality(Config):
    """Drop what does not read like running text."""

    kind: Literal["gopher_quality"] = "gopher_quality"
    min_mean_word_length: float = knob(3.0, "characters", ge=0)
    max_mean_word_length: float = knob(10.0, "characters", gt=0)
    max_symbol_share: float = knob(0.1, "number signs, or ellipses, per word", ge=0, le=1)
    bullets: tuple[Annotated[str, Field(min_length=1)], ...] = knob(
        _BULLETS, "what a line of a list begins with"
    )
    max_bullet_line_share: float = knob(0.9, "share of lines", ge=0, le=1)
    max_ellipsis_line_share: float = knob(0.3, "share of lines that end in one", ge=0, le=1)
    min_alphabetic_share: float = knob(0.8, "share of words with a letter", ge=0, le=1)
    min_stop_words: int = knob(
        2,
        f"different stop words of the document's language ({', '.join(STOP_WORDS)}; others pass)",
        ge=0,
    )

    def measure(self, candidate: Candidate) -> Signals:
        """Of words and lines.

        `num_stop_words` is NaN in a language that has no table, `mean_word_length` in one that puts
        no spaces between words.
        """
        text, num_words = candidate.text, max(len(candidate.words), 1)
        num_ellipses = sum(map(text.count, _ELLIPSES))
        return {
            "mean_word_length": _mean_word_length(candidate),
            "number_sign_share": text.count("#") / num_words,
            "ellipsis_share": num_ellipses / num_words,
            "alphabetic_share": _alphabetic_share(candidate),
            "num_stop_words": _num_stop_words(candidate),
            "bullet_line_share": _bullet_line_share(candidate.lines, self.bullets),
            "ellipsis_line_share": _ellipsis_line_share(candidate.lines) if num_ellipses else 0.0,
        }

    def bounds(self) -> tuple[Bound, ...]:
        return (
            Bound("short_words", "mean_word_length", min=self.min_mean_word_length),
            Bound("long_words", "mean_word_length", max=self.max_mean_word_length),
            Bound("number_signs", "number_sign_share", max=self.max_symbol_share),
            Bound("ellipses", "ellipsis_share", max=self.max_symbol_share),
            Bound("few_alphabetic_words", "alphabetic_share", min=self.min_alphabetic_share),
            Bound("few_stop_words", "num_stop_words", min=self.min_stop_words),
            Bound("bullet_lines", "bullet_line_share", max=self.max_bullet_line_share),
            Bound("ellipsis_lines", "ellipsis_line_share", max=self.max_ellipsis_line_share),
        )


def _mean_word_length(candidate: Candidate) -> float:
    """Of words that are more than punctuation."""
    if candidate.language in UNSPACED:
        return math.nan
    symbols = sum(len(word) * n for word, n in candidate.symbols.items())
    characters = int(candidate.word_counts @ candidate.word_lengths)
    return (characters - symbols) / max(candidate.num_words, 1)


def _alphabetic_share(candidate: Candidate) -> float:
    num_words = len(candidate.words)
    return (num_words - sum(candidate.without_letter.values())) / max(num_words, 1)


def _bullet_line_share(lines: list[str], bullets: tuple[str, ...]) -> float:
    first = {bullet[0] for bullet in bullets}
    # Nine lines in ten begin with something else, which is sooner told.
    listed = [line for line in map(str.lstrip, lines) if line[0] in first]
    return sum(line.startswith(bullets) for line in listed) / max(len(lines), 1)


def _ellipsis_line_share(lines: list[str]) -> float:
    return sum(line.rstrip().endswith(_ELLIPSES) for line in lines) / max(len(lines), 1)


def _num_stop_words(candidate: Candidate) -> float:
    stop_words = STOP_WORDS.get(candidate.language)
    if stop_words is None:
        return math.nan
    if candidate.language in UNSPACED:
        return sum(word in candidate.text for word in stop_words)
    return len(stop_words.intersection(map(str.lower, candidate.vocabulary)))
