"""What is known of a build before any work: to refuse what cannot be, and to say what it takes.

No Prefect, no torch: a plan asks all of this.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True)
class Span:
    """From the least to the most that is to be expected.

    Factors are taken to be independent: of two that are each within a factor of 2, the product is
    within 2.7, not within 4.
    """

    low: float
    high: float

    def __add__(self, other: Span) -> Span:
        return Span(self.low + other.low, self.high + other.high)

    def __mul__(self, by: Span | float) -> Span:
        if not isinstance(by, Span):
            return Span(self.low * by, self.high * by)
        if not self.low * by.low:
            return Span(0, self.high * by.high)
        middle = math.sqrt(self.low * self.high * by.low * by.high)
        wide = math.exp(math.hypot(math.log(self.high / self.low), math.log(by.high / by.low)) / 2)
        return Span(middle / wide, middle * wide)

    def __truediv__(self, by: Span) -> Span:
        return self * Span(1 / by.high, 1 / by.low)


def exactly(value: float) -> Span:
    """Give the span of what is known."""
    return Span(value, value)


@dataclass(frozen=True)
class Forecast:
    """What a build is expected to take, and the `amount` that it makes of a `unit`.

    `text` is how many bytes of text are in that.
    """

    amount: Span
    unit: str
    text: Span
    kept_bytes: Span
    seconds: Span
    memory_bytes: Span


@dataclass(frozen=True)
class Machine:
    """What work is done on. `speed` gives the tokens that a model of so many trained parameters
    learns from in a second."""

    cores: int
    workers: int
    speed: Callable[[int], Span]


@dataclass(frozen=True)
class Known:
    """An instance before its work: its knobs, by port what it is made from, and the stats of its
    artifact where that is there already."""

    knobs: Mapping[str, Any]
    given: Mapping[str, tuple[Known, ...]] = field(default_factory=dict)
    stats: Mapping[str, Any] = field(default_factory=dict)
    forecast: Forecast | None = None

    def knob(self, port: str, name: str) -> Any:
        """Give a knob of what comes by a port for one; None where that is not known."""
        return next((one.knobs.get(name) for one in self.given.get(port, ())), None)

    def stat(self, port: str, name: str) -> Any:
        """Give a stat of the artifact that comes by a port for one; None before there is one."""
        return next((one.stats.get(name) for one in self.given.get(port, ())), None)

    def above(self, name: str) -> Iterator[Any]:
        """Give a knob's values of all that this is made from."""
        for one in (one for of in self.given.values() for one in of):
            if name in one.knobs:
                yield one.knobs[name]
            yield from one.above(name)

    def expected(self, port: str) -> Forecast | None:
        """Give what is expected to come by a port for one."""
        return next((one.forecast for one in self.given.get(port, ())), None)


@runtime_checkable
class Addressed(Protocol):
    """A source of pages that can tell their addresses before it is read."""

    def addresses(self) -> Iterator[str] | None:
        """Give the pages' URLs, or some that stand for all; None if they are not known."""
