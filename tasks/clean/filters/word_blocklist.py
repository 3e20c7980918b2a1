"""Documents with words that a list forbids.

Source: C4, arXiv:1910.10683 §2.2, which drops a page for one word of a list.
"""

from __future__ import annotations

from typing import Literal

from tasks.clean.filters.candidate import Bound, Candidate, Signals
from tasks.clean.filters.terms import Entry, count_terms
from tasks.config import Config, knob


class WordBlocklist(Config):
    """Drop documents that have words or phrases of the recipe's lists. Without a list: none."""

    kind: Literal["word_blocklist"] = "word_blocklist"
    terms: tuple[Entry, ...] = knob((), "words and phrases, in any case; or files of them")
    max_blocked_words: int = knob(0, "occurrences of listed words and phrases", ge=0)

    def measure(self, candidate: Candidate) -> Signals:
        return {"num_blocked_words": sum(count_terms(candidate, self.terms).values())}

    def bounds(self) -> tuple[Bound, ...]:
        return (Bound("blocked_words", "num_blocked_words", max=self.max_blocked_words),)
