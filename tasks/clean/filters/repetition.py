"""Documents that repeat themselves.

Source: Gopher, arXiv:2112.11446 table A1 (duplicate lines).
"""

from __future__ import annotations

from typing import Literal

from tasks.clean.filters.candidate import Candidate, Verdict, above
from tasks.config import Config, knob


class Repetition(Config):
    """Drop documents whose lines stand there again and again."""

    kind: Literal["repetition"] = "repetition"
    max_repeated_line_share: float = knob(0.3, "share of lines", ge=0, le=1)
    max_repeated_character_share: float = knob(0.2, "share of characters", ge=0, le=1)

    def judge(self, candidate: Candidate) -> Verdict | None:
        """`repeated_lines`, `repeated_characters` or None."""
        lines = candidate.lines
        share = 1 - len(set(lines)) / len(lines) if lines else 0.0
        return above("repeated_lines", share, self.max_repeated_line_share) or above(
            "repeated_characters", candidate.repeated_share, self.max_repeated_character_share
        )
