"""What a filter is given."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Candidate:
    """A document on trial; words and lines are split once for all filters."""

    text: str
    language: str
    url: str = ""

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
