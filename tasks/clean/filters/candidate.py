"""What a filter is given and what it answers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Verdict:
    """Why a document is dropped: the rule, the measured value, the bound it broke."""

    reason: str
    value: str
    threshold: str


@dataclass(frozen=True)
class Candidate:
    """A document on trial; words and lines are split once for all filters."""

    text: str
    language: str

    @cached_property
    def words(self) -> list[str]:
        return self.text.split()

    @cached_property
    def lines(self) -> list[str]:
        """Lines with something on them, stripped."""
        return [stripped for line in self.text.splitlines() if (stripped := line.strip())]

    @cached_property
    def repeated_share(self) -> float:
        """Share of characters in lines that stand there already, 0-1."""
        total = sum(map(len, self.lines))
        repeated = sum(len(line) * (n - 1) for line, n in Counter(self.lines).items())
        return repeated / total if total else 0.0


def below(reason: str, value: float, least: float) -> Verdict | None:
    """A verdict if `value` is below `least`."""
    return Verdict(reason, f"{value:.4g}", f">= {least:g}") if value < least else None


def above(reason: str, value: float, most: float) -> Verdict | None:
    """A verdict if `value` is above `most`."""
    return Verdict(reason, f"{value:.4g}", f"<= {most:g}") if value > most else None
