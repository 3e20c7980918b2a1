"""Why a verdict is not datatrove's: each cause is tested on the document, not guessed."""

from __future__ import annotations

from collections import Counter

from tasks.clean.filters import Candidate
from tasks.clean.filters.words import UNSPACED
from tasks.clean.trims import C4Lines

UNEXPLAINED = "unexplained"


def cause(
    candidate: Candidate, reason: str | None, broken: set[str], punctuation: frozenset[str]
) -> str:
    """The cause of a difference; `reason` is datatrove's, `punctuation` what it counts as such."""
    if reason == "gopher_below_avg_threshold" and candidate.language in UNSPACED:
        return "the mean length of words is not asked of scripts without spaces"
    length_asked = broken <= {"short_words", "long_words", "too_few_words"}
    if length_asked and reason is None and _odd_symbols(candidate, punctuation):
        return "a word of symbols that datatrove does not list as punctuation is none here (◆)"
    if reason is not None and reason.startswith("top_"):
        n = int(reason.split("_")[1])
        words = candidate.words
        grams = Counter(zip(*(words[start:] for start in range(n)), strict=False))
        if max(grams.values()) == 1:
            return "an n-gram that stands there once repeats nothing, even in a short text"
    return UNEXPLAINED


def _odd_symbols(candidate: Candidate, punctuation: frozenset[str]) -> bool:
    """Whether the mean length is in bounds by datatrove's notion of symbols alone."""
    counted = [word for word in candidate.words if not punctuation.issuperset(word)]
    return 3 <= sum(map(len, counted)) / len(counted) <= 10 and len(counted) >= 50


def line_cause(differing: set[str], text: str) -> str:
    """Why lines that C4's rules keep here and at datatrove differ."""
    sources = [
        C4Lines().without_citations(line).strip() for line in text.split("\n") if "[" in line
    ]
    if differing <= set(sources):
        return "a citation mark is no word, and what stands before it ends the line"
    return UNEXPLAINED
