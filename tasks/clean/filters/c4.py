"""C4's rules for pages; its rules for lines are the trim `c4_lines`, which comes first.

Source: arXiv:1910.10683 §2.2.
"""

from __future__ import annotations

import re
from typing import Literal

from tasks.clean.filters.bounds import Bound, Signals
from tasks.clean.filters.candidate import Candidate
from tasks.config import Config, knob

# NLTK's Punkt, which C4 used, is a model to download for each language and reads 2 MB/s.
# A new sentence does not begin with a small letter. Two patterns, each begun by one set of
# characters: five times as fast as their union.
_INNER_END = re.compile(r"""[.!?]["'”’)\]]* +(?=[^\sa-z])""")  # noqa: RUF001
_INNER_FULL_WIDTH_END = re.compile("[。！？][」』”’）]*(?=\\S)")  # noqa: RUF001

_FILLER = "lorem ipsum"


def count_sentences(text: str, num_lines: int) -> int:
    """Sentences of a text of so many lines: none goes on in the next line."""
    num_inner = len(_INNER_END.findall(text))
    if not text.isascii():
        num_inner += len(_INNER_FULL_WIDTH_END.findall(text))
    return num_lines + num_inner


class C4(Config):
    """Drop filler text, code, and pages with few sentences."""

    kind: Literal["c4"] = "c4"
    max_fillers: int = knob(0, "times that `lorem ipsum` stands there", ge=0)
    max_curly_brackets: int = knob(0, "opening curly brackets: code", ge=0)
    min_sentences: int = knob(5, "sentences", ge=0)

    def measure(self, candidate: Candidate) -> Signals:
        """Sentences as `count_sentences` counts them."""
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
