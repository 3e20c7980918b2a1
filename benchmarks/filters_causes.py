"""Why a verdict is not datatrove's: each cause is tested on the document, not guessed."""

from __future__ import annotations

from collections import Counter

from tasks.clean.filters import Candidate
from tasks.clean.filters.gopher_quality import STOP_WORDS
from tasks.clean.trims import C4Lines
from tasks.words import UNSPACED

UNEXPLAINED = "unexplained"
SPACELESS = "the mean length of words is not asked of scripts without spaces"
SYMBOLS = "a word of symbols that datatrove does not list as punctuation is none here (◆)"
BLANK_LINES = "blank lines are no lines, in shares of bulleted and of unended ones"
ANY_CASE = "stop words count in any case"
SUBDOMAINS = "hosts below a listed domain are blocked, and not only its registered domain's"
ONCE = "an n-gram that stands there once repeats nothing, even in a short text"
CITATIONS = "a citation mark is no word, and what stands before it ends the line"

_MEANS = {"gopher_below_avg_threshold", "gopher_above_avg_threshold"}
_LENGTHS = {"short_words", "long_words", "too_few_words"}
_MARKS = {"bullet_lines", "ellipsis_lines"}


def cause(
    candidate: Candidate, reason: str | None, broken: set[str], punctuation: frozenset[str]
) -> str:
    """The cause of a difference; `reason` is datatrove's, `punctuation` what it counts as such."""
    kept = reason is None  # by datatrove
    tests = {
        SPACELESS: reason in _MEANS and candidate.language in UNSPACED,
        SYMBOLS: kept and broken <= _LENGTHS and _odd_symbols(candidate, punctuation),
        BLANK_LINES: kept and broken <= _MARKS and not _many_marked(candidate.text.splitlines()),
        ANY_CASE: reason == "gopher_enough_stop_words" and _lowered_stop_words(candidate),
        SUBDOMAINS: kept and broken == {"blocked_domain"},
        ONCE: not kept and str(reason).startswith("top_") and _stands_once(candidate, str(reason)),
    }
    return next((known for known, holds in tests.items() if holds), UNEXPLAINED)


def _stands_once(candidate: Candidate, reason: str) -> bool:
    """Whether no n-gram of the rule's length is repeated."""
    n = int(reason.split("_")[1])
    grams = Counter(zip(*(candidate.words[start:] for start in range(n)), strict=False))
    return max(grams.values()) == 1


def _odd_symbols(candidate: Candidate, punctuation: frozenset[str]) -> bool:
    """Whether the mean length is in bounds by datatrove's notion of symbols alone."""
    counted = [word for word in candidate.words if not punctuation.issuperset(word)]
    return 3 <= sum(map(len, counted)) / len(counted) <= 10 and len(counted) >= 50


def _lowered_stop_words(candidate: Candidate) -> bool:
    """Whether there are enough stop words, but not in small letters."""
    as_they_stand, stop_words = set(candidate.words), STOP_WORDS[candidate.language]
    lowered = set(map(str.lower, as_they_stand))
    return len(stop_words & as_they_stand) < 2 <= len(stop_words & lowered)


def _many_marked(lines: list[str]) -> bool:
    """Whether too many of all lines, blank ones included, are bulleted or end in an ellipsis."""
    bulleted = sum(line.lstrip().startswith(("•", "-")) for line in lines)
    ended = sum(line.rstrip().endswith(("...", "…")) for line in lines)
    return bulleted > 0.9 * len(lines) or ended > 0.3 * len(lines)


def line_cause(differing: set[str], text: str) -> str:
    """Why lines that C4's rules keep here and at datatrove differ."""
    sources = [
        C4Lines().without_citations(line).strip() for line in text.split("\n") if "[" in line
    ]
    if differing <= set(sources):
        return CITATIONS
    return UNEXPLAINED
