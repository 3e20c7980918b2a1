"""Gopher's quality rules; the number of words is `Length`'s.

Source: arXiv:2112.11446 table A1.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Annotated, Literal

from pydantic import Field

from tasks.clean.filters.bounds import Bound, Signals
from tasks.clean.filters.candidate import Candidate
from tasks.clean.filters.stop_words import STOP_WORDS
from tasks.config import Config, knob
from tasks.words import UNSPACED

_BULLETS = ("-", "*", "•", "‣", "◦", "–")  # noqa: RUF001 (an en dash is meant)


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
        from tasks.clean.kernels import scan

        marks, words, num_words = candidate.mark_counts, candidate.word_counts, candidate.num_words
        num_all = candidate.num_all_words
        per_word = max(num_all, 1)
        mean = words.characters / max(num_words, 1)
        num_listed, num_trailing = _marked_lines(candidate, self.bullets)
        num_lines = max(len(candidate.tables.lines), 1)
        return {
            "mean_word_length": math.nan if candidate.language in UNSPACED else mean,
            "number_sign_share": marks[scan.NUMBER_SIGNS] / per_word,
            "ellipsis_share": marks[scan.ELLIPSES] / per_word,
            "alphabetic_share": (num_all - words.without_letter) / per_word,
            "num_stop_words": _num_stop_words(candidate),
            "bullet_line_share": num_listed / num_lines,
            "ellipsis_line_share": num_trailing / num_lines,
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


def _marked_lines(candidate: Candidate, bullets: tuple[str, ...]) -> tuple[int, int]:
    """Lines that begin with a bullet, lines that end in an ellipsis."""
    from tasks.clean.kernels import characters, scan

    num_listed, num_trailing = scan.count_bullets(
        candidate.codes,
        characters.classes(),
        candidate.tables.lines,
        characters.string_table(bullets),
    )
    return num_listed, num_trailing


def _num_stop_words(candidate: Candidate) -> float:
    """Different stop words; NaN in a language that has no table."""
    from tasks.clean.kernels import characters, scan

    text, stop_words = candidate.text, _stop_words(candidate.language)
    if stop_words is None:
        return math.nan
    if candidate.language in UNSPACED:
        return sum(word in text for word in stop_words)
    if candidate.mark_counts[scan.UNEVEN]:
        return len(set(stop_words).intersection(map(str.lower, candidate.words)))
    return scan.count_present(
        candidate.codes,
        characters.small_letters(),
        candidate.tables.words,
        characters.string_table(stop_words),
        characters.first_bytes(stop_words),
    )


@lru_cache(maxsize=64)
def _stop_words(language: str) -> tuple[str, ...] | None:
    words = STOP_WORDS.get(language)
    return None if words is None else tuple(sorted(words))
