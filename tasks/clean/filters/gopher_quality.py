"""Gopher's quality rules.

Source: arXiv:2112.11446 table A1.
"""

from __future__ import annotations

from typing import Literal

from tasks.clean.filters.candidate import Candidate, Verdict, above, below
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

    def judge(self, candidate: Candidate) -> Verdict | None:
        """The first rule that the document breaks, or None."""
        return self._judge_words(candidate) or self._judge_lines(candidate)

    def _judge_words(self, candidate: Candidate) -> Verdict | None:
        words = candidate.words
        count = max(len(words), 1)
        mean = sum(map(len, words)) / count
        alphabetic = sum(any(map(str.isalpha, word)) for word in words) / count
        ellipses = sum(candidate.text.count(mark) for mark in _ELLIPSES)
        return (
            below("short_words", mean, self.min_mean_word_length)
            or above("long_words", mean, self.max_mean_word_length)
            or above("number_signs", candidate.text.count("#") / count, self.max_symbol_share)
            or above("ellipses", ellipses / count, self.max_symbol_share)
            or below("few_alphabetic_words", alphabetic, self.min_alphabetic_share)
            or self._judge_stop_words(candidate)
        )

    def _judge_stop_words(self, candidate: Candidate) -> Verdict | None:
        stop_words = STOP_WORDS.get(candidate.language)
        if stop_words is None:
            return None
        found = len(stop_words.intersection(map(str.lower, candidate.words)))
        return below("few_stop_words", found, self.min_stop_words)

    def _judge_lines(self, candidate: Candidate) -> Verdict | None:
        count = max(len(candidate.lines), 1)
        bullets = sum(line.startswith(_BULLETS) for line in candidate.lines) / count
        ellipses = sum(line.endswith(_ELLIPSES) for line in candidate.lines) / count
        return above("bullet_lines", bullets, self.max_bullet_line_share) or above(
            "ellipsis_lines", ellipses, self.max_ellipsis_line_share
        )
