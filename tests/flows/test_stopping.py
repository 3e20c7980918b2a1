"""Reporters that show on others, and stop the work they count."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from flows.stopping import StoppableReporter, StopRequest
from storage.errors import Interrupted
from tasks.progress import SilentReporter, note, reporting_to, track


class _Kept(SilentReporter):
    def __init__(self, stop_at: int = 99) -> None:
        self.said: list[object] = []
        self._stop_at = stop_at

    @contextmanager
    def bar(self, label: str, total: int, unit: str, done: int) -> Iterator[Any]:
        self.said.append((label, total, unit, done))
        yield self
        self.said.append("end")

    def advance(self, amount: int = 1, **facts: object) -> None:
        self.said.append((amount, facts))
        if len(self.said) > self._stop_at:
            raise Interrupted("stop")

    def retarget(self, total: int) -> None:
        self.said.append(total)

    def note(self, text: str) -> None:
        self.said.append(text)


def test_one_reporter_shows_on_both() -> None:
    one, two = _Kept(), _Kept()
    with reporting_to(StoppableReporter(StopRequest(), one, two)):
        with track("a", 3, "b", done=1) as bar:
            bar.advance(2, loss=1.0)
            bar.retarget(4)
        note("said")
    assert one.said == two.said == [("a", 3, "b", 1), (2, {"loss": 1.0}), 4, "end", "said"]


def test_whoever_stops_the_work_is_heard() -> None:
    one, two = _Kept(), _Kept(stop_at=1)
    with (
        reporting_to(StoppableReporter(StopRequest(), one, two)),
        pytest.raises(Interrupted),
        track("a", 3, "b") as bar,
    ):
        bar.advance(1)
    assert "end" not in one.said


def test_bars_stop_the_work_once_they_are_asked_to() -> None:
    stop, kept = StopRequest("by hand"), _Kept()
    with (
        reporting_to(StoppableReporter(stop, kept)),
        pytest.raises(Interrupted, match="by hand"),
        track("a", 3, "b") as bar,
    ):
        bar.advance(1)
        stop.ask()
        bar.advance(1)
    assert kept.said == [("a", 3, "b", 0), (1, {})]
