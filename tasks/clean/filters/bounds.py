"""Signals, what they may be, and the verdict where one is not.

A filter measures; its bounds decide. Signals are kept beside the verdicts, so that other bounds can
be tried without reading a page again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Signals = Mapping[str, float]
"""What was measured, by name. NaN where it means nothing for a document: no bound is broken."""


@dataclass(frozen=True)
class Verdict:
    """Why a document is dropped: the rule, the measured value, the bound it broke."""

    reason: str
    value: str
    threshold: str


@dataclass(frozen=True)
class Bound:
    """What a signal may be, ends included, and the reason given where it is not."""

    reason: str
    signal: str
    min: float = -math.inf
    max: float = math.inf

    @property
    def says(self) -> str:
        """`>= 50`: what a value must be."""
        least = f">= {self.min:g}" if self.min > -math.inf else ""
        most = f"<= {self.max:g}" if self.max < math.inf else ""
        return " and ".join(filter(None, (least, most)))

    def verdict(self, signals: Signals) -> Verdict | None:
        """The verdict on a document with these signals, or None."""
        value = signals[self.signal]
        if value < self.min:
            return Verdict(self.reason, f"{value:.4g}", f">= {self.min:g}")
        if value > self.max:
            return Verdict(self.reason, f"{value:.4g}", f"<= {self.max:g}")
        return None


def judge(bounds: Iterable[Bound], signals: Signals) -> Verdict | None:
    """The first verdict, or None if all bounds are kept."""
    verdicts = (bound.verdict(signals) for bound in bounds)
    return next((verdict for verdict in verdicts if verdict is not None), None)
