"""Documents that repeat themselves.

Source: Gopher, arXiv:2112.11446 table A1 (duplicate lines).
"""

from __future__ import annotations

from typing import Literal

from tasks.clean.filters.bounds import Bound, Signals
from tasks.clean.filters.candidate import Candidate
from tasks.config import Config, knob


class Repetition(Config):
    """Drop documents whose lines stand there again and again."""

    kind: Literal["repetition"] = "repetition"
    max_repeated_line_share: float = knob(0.3, "share of lines", ge=0, le=1)
    max_repeated_character_share: float = knob(0.2, "share of characters", ge=0, le=1)

    def measure(self, candidate: Candidate) -> Signals:
        lines = candidate.lines
        return {
            "repeated_line_share": 1 - len(set(lines)) / len(lines) if lines else 0.0,
            "repeated_character_share": candidate.repeated_share,
        }

    def bounds(self) -> tuple[Bound, ...]:
        return (
            Bound("repeated_lines", "repeated_line_share", max=self.max_repeated_line_share),
            Bound(
                "repeated_characters",
                "repeated_character_share",
                max=self.max_repeated_character_share,
            ),
        )
