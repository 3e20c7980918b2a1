"""A text without some of its lines, and how many went for each reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tasks.clean.trims import Trim


@dataclass(frozen=True)
class Trimmed:
    """What is left, and the number of lines that went, by reason."""

    text: str
    counts: Mapping[str, int]


def trim(trims: Iterable[Trim], text: str) -> Trimmed:
    """One trim after the other."""
    counts: Counter[str] = Counter()
    for one in trims:
        trimmed = one.apply(text)
        text = trimmed.text
        counts.update(trimmed.counts)
    return Trimmed(text, dict(sorted(counts.items())))


def without(lines: Sequence[str], reasons: Sequence[str | None]) -> Trimmed:
    """The lines that have no reason to go, with one blank line where several would meet."""
    kept, last = list[str](), ""
    for line, reason in zip(lines, reasons, strict=True):
        if reason is None and (line or last):
            kept.append(line)
            last = line
    return Trimmed("\n".join(kept).rstrip("\n"), dict(Counter(filter(None, reasons))))
