"""Gopher's quality rules.

Source: arXiv:2112.11446 table A1.
"""

from __future__ import annotations

import math
from typing import Literal

from tasks.clean.filters.bounds import Bound, Signals
from tasks.clean.filters.candidate import Candidate
from tasks.config import Config, knob

# At least `min_stop_words` of these must occur. A language without a row is not asked.
STOP_WORDS = {
    "en": frozenset({"the", "be", "to", "of", "and", "that", "have", "with"}),
    "vi": frozenset({"và", "của", "là", "có", "được", "cho", "các", "một", "trong", "không"}),
    "fr": frozenset({"le", "la", "de", "et", "les", "des", "est", "que", "pour", "dans"}),
    "de": frozenset({"der", "die", "und", "das", "ist", "nicht", "mit", "von", "zu", "ein"}),
    "es": frozenset({"el", "la", "de", "que", "y", "en", "los", "del", "se", "para"}),
}
_BULLETS = ("-", "*", "•", "‣", "◦", "–")  # noqa: RUF001 (an en dash is meant)
_ELLIPSES = ("...", "…")


class GopherQuality(Config):
    """Drop what does not read like running text."""

    kind: Literal["gopher_quality"] = "gopher_quality"
    min_mean_word_length: float = knob(3.0, "characters", ge=0)
    max_mean_word_length: float = knob(10.0, "characters", gt=0)
    max_symbol_share: float = knob(0.1, "number signs, or ellipses, per word", ge=0, le=1)
    max_bullet_line_share: float = knob(0.9, "share of lines", ge=0, le=1)
    max_ellipsis_line_share: float = knob(0.3, "share of lines that end in one", ge=0, le=1)
    min_alphabetic_share: float = knob(0.8, "share of words with a letter", ge=0, le=1)
    min_stop_words: int = knob(
        2, "different stop words of the document's language (en, vi, fr, de, es; others pass)", ge=0
    )

    def measure(self, candidate: Candidate) -> Signals:
        """Of words and lines; `num_stop_words` is NaN in a language that has no table."""
        text, words, lines = candidate.text, candidate.words, candidate.lines
        num_words, num_lines = max(len(words), 1), max(len(lines), 1)
        return {
            "mean_word_length": sum(map(len, words)) / num_words,
            "number_sign_share": text.count("#") / num_words,
            "ellipsis_share": sum(text.count(mark) for mark in _ELLIPSES) / num_words,
            "alphabetic_share": sum(any(map(str.isalpha, word)) for word in words) / num_words,
            "num_stop_words": _num_stop_words(candidate),
            "bullet_line_share": sum(line.startswith(_BULLETS) for line in lines) / num_lines,
            "ellipsis_line_share": sum(line.endswith(_ELLIPSES) for line in lines) / num_lines,
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


def _num_stop_words(candidate: Candidate) -> float:
    stop_words = STOP_WORDS.get(candidate.language)
    if stop_words is None:
        return math.nan
    return len(stop_words.intersection(map(str.lower, candidate.words)))
