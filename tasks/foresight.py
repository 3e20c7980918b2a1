"""What is known of a build before any work: to refuse what cannot be, and to say what it takes.

No Prefect, no torch: a plan asks all of this.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

MB = 1_000_000.0


@dataclass(frozen=True)
class Span:
    """From the least to the most that is to be expected."""

    low: float
    high: float

    @classmethod
    def exactly(cls, value: float) -> Span:
        return cls(value, value)

    def __add__(self, other: Span) -> Span:
        return Span(self.low + other.low, self.high + other.high)

    def __mul__(self, by: Span | float) -> Span:
        least, most = (by.low, by.high) if isinstance(by, Span) else (by, by)
        return Span(self.low * least, self.high * most)

    def __truediv__(self, by: Span | float) -> Span:
        least, most = (by.low, by.high) if isinstance(by, Span) else (by, by)
        return Span(self.low / most, self.high / least)


@dataclass(frozen=True)
class Forecast:
    """What a build is expected to make and to take. `text` is bytes of text in what it makes."""

    rows: Span
    unit: str
    text: Span
    kept_bytes: Span
    seconds: Span
    memory_bytes: Span


@dataclass(frozen=True)
class Machine:
    """What work is done on: cores that may be used, GPUs, and how many shards at once."""

    cores: int
    gpus: int
    has_bf16: bool
    workers: int = 1


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
