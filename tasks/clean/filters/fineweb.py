"""FineWeb's rules against lists, menus and text that was cut into lines.

Source: arXiv:2406.17557 §3.6.
"""

from __future__ import annotations

from typing import Literal

from tasks.clean.filters.candidate import Bound, Candidate, Signals
from tasks.config import Config, knob


class FineWeb(Config):
    """Drop pages of lines that are no sentences."""

    kind: Literal["fineweb"] = "fineweb"
    min_terminal_line_share: float = knob(
        0.12, "share of lines that end as a sentence does, in any script", ge=0, le=1
    )
    short_line_characters: int = knob(30, "characters of a short line, at most", ge=0)
    max_short_line_share: float = knob(0.67, "share of lines", ge=0, le=1)
    max_repeated_line_characters: float = knob(
        0.01, "share of the lines' characters, in repeated lines", ge=0, le=1
    )
    max_line_feeds_per_word: float = knob(0.3, "line feeds per word", ge=0)

    def measure(self, candidate: Candidate) -> Signals:
        from tasks.clean.kernels import characters, scan

        words, lines, num_feeds = candidate.tables
        num_lines, num_words = max(len(lines), 1), max(len(words), 1)
        asked = (lines, self.short_line_characters)
        num_ended, num_short = scan.count_line_ends(candidate.codes, characters.classes(), *asked)
        return {
            "terminal_line_share": num_ended / num_lines,
            "short_line_share": num_short / num_lines,
            "repeated_line_character_share": candidate.repeated_share,
            "line_feeds_per_word": num_feeds / num_words,
        }

    def bounds(self) -> tuple[Bound, ...]:
        most = self.max_repeated_line_characters
        return (
            Bound("few_ended_lines", "terminal_line_share", min=self.min_terminal_line_share),
            Bound("short_lines", "short_line_share", max=self.max_short_line_share),
            Bound("repeated_line_characters", "repeated_line_character_share", max=most),
            Bound("many_line_feeds", "line_feeds_per_word", max=self.max_line_feeds_per_word),
        )
