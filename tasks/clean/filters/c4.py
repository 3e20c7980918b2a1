"""C4's rules for pages; its rules for lines are the trim `c4_lines`, which comes first.

Source: arXiv:1910.10683 §2.2.
"""

from __future__ import annotations

from typing import Literal

from tasks.clean.filters.candidate import Bound, Candidate, Signals
from tasks.config import Config, knob

_FILLER = "lorem ipsum"


class C4(Config):
    """Drop filler text, code, and pages with few sentences."""

    kind: Literal["c4"] = "c4"
    max_fillers: int = knob(0, "times that `lorem ipsum` stands there", ge=0)
    max_curly_brackets: int = knob(0, "opening curly brackets: code", ge=0)
    min_sentences: int = knob(5, "sentences", ge=0)

    def measure(self, candidate: Candidate) -> Signals:
        """Each line ends a sentence, and so do marks within it, unless a small letter follows.

        NLTK's Punkt, which C4 used, is a model to download for each language and reads 2 MB/s.
        """
        from tasks.clean.kernels import characters, scan

        counts, num_lines = candidate.mark_counts, len(candidate.tables.lines)
        (num_fillers,) = characters.count_strings(candidate.text, candidate.codes, (_FILLER,))
        return {
            "num_fillers": num_fillers,
            "num_curly_brackets": counts[scan.CURLY_BRACKETS],
            "num_sentences": num_lines + counts[scan.INNER_SENTENCE_ENDS],
        }

    def bounds(self) -> tuple[Bound, ...]:
        return (
            Bound("filler", "num_fillers", max=self.max_fillers),
            Bound("curly_brackets", "num_curly_brackets", max=self.max_curly_brackets),
            Bound("too_few_sentences", "num_sentences", min=self.min_sentences),
        )
