"""A text without some of its lines, and how many went for each reason."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

_GAP = re.compile(r"\n{3,}")


@dataclass(frozen=True)
class Trimmed:
    """What is left, and the number of lines that went, by reason."""

    text: str
    counts: Mapping[str, int]


class _Trims(Protocol):
    def apply(self, text: str) -> Trimmed: ...


def trim(trims: Iterable[_Trims], text: str) -> Trimmed:
    """One trim after the other."""
    counts: Counter[str] = Counter()
    for one in trims:
        trimmed = one.apply(text)
        text = trimmed.text
        counts.update(trimmed.counts)
    return Trimmed(text, dict(sorted(counts.items())))


def without(lines: Sequence[str], reasons: Sequence[str | None]) -> Trimmed:
    """The lines that have no reason to go, with one blank line where several would meet."""
    kept = (line for line, reason in zip(lines, reasons, strict=True) if reason is None)
    counts = Counter(reason for reason in reasons if reason is not None)
    text = "\n".join(kept).strip("\n")
    return Trimmed(_GAP.sub("\n\n", text) if "\n\n\n" in text else text, dict(counts))
