"""Documents of a sensible length."""

from __future__ import annotations

from typing import Literal

from tasks.clean.filters.candidate import Bound, Candidate, Signals
from tasks.config import Config, knob


class Length(Config):
    """Drop what is too short or too long, in words: what is more than punctuation between spaces.

    A character of Chinese, Japanese, Thai, Lao, Khmer or Burmese text is a word.
    """

    kind: Literal["length"] = "length"
    min_words: int = knob(50, "words", ge=0, source="Gopher, arXiv:2112.11446 table A1")
    max_words: int = knob(100_000, "words", ge=1, source="Gopher, arXiv:2112.11446 table A1")

    def measure(self, candidate: Candidate) -> Signals:
        return {"num_words": candidate.num_words}

    def bounds(self) -> tuple[Bound, ...]:
        return (
            Bound("too_few_words", "num_words", min=self.min_words),
            Bound("too_many_words", "num_words", max=self.max_words),
        )
