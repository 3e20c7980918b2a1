"""Menus, tag clouds and link lists: short lines one after the other, none a sentence.

Source: what FineWeb measures of a whole page (lines of 30 characters or fewer, ends of sentences;
arXiv:2406.17557 §3.6), asked of runs of lines.
"""

from __future__ import annotations

from itertools import groupby
from typing import Literal

from tasks.clean.text import TERMINAL
from tasks.clean.trims.trimmed import Trimmed, without
from tasks.config import Config, knob


class Menus(Config):
    """Drop runs of short lines that do not end as sentences do; blank lines do not end a run.

    Poems, tables and code are such runs too: not for pages that have them.
    """

    kind: Literal["menus"] = "menus"
    min_lines: int = knob(5, "lines of a run, at least", ge=1)
    max_characters: int = knob(
        30, "characters of a short line, at most", ge=1, source="FineWeb, arXiv:2406.17557 §3.6"
    )

    def apply(self, text: str) -> Trimmed:
        lines = text.split("\n")
        full = [number for number, line in enumerate(lines) if line.strip()]
        reasons: list[str | None] = [None] * len(lines)
        for short, run in groupby(full, key=lambda number: self._short(lines[number])):
            numbers = list(run)
            if short and len(numbers) >= self.min_lines:
                for number in numbers:
                    reasons[number] = "menu_line"
        return without(lines, reasons)

    def _short(self, line: str) -> bool:
        stripped = line.strip()
        return len(stripped) <= self.max_characters and stripped[-1] not in TERMINAL
