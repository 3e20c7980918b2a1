"""Figures on their way: in order, never in the way of training, and never its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest

from tasks.lm.tracking import Tracker
from tasks.lm.tracking import logbook as module
from tasks.lm.tracking.logbook import Entry, Logbook, TrackedRun
from tasks.progress import reporting_to
from tests.tasks.stopping import StopAfter


class Fake:
    """A tracker that remembers, and that fails or waits where it is told to."""

    def __init__(self, fails_at: str = "", waits: threading.Event | None = None) -> None:
        self.kind, self.fails_at, self.waits = "fake", fails_at, waits
        self.entries: list[Entry] = []
        self.calls: list[str] = []

    def open(self, run: TrackedRun) -> Fake:
        self._do("open")
        return self

    def log(self, entries: Sequence[Entry]) -> None:
        self._do("log")
        self.entries += entries

    def close(self, *, finished: bool) -> None:
        self._do(f"close {finished}")

    def _do(self, call: str) -> None:
        self.calls.append(call)
        if self.waits is not None:
            self.waits.wait(30)
        if call.startswith(self.fails_at) and self.fails_at:
            raise ConnectionError("no answer\nfrom the server")


def _book(*fakes: Fake) -> Logbook:
    trackers = cast("Sequence[Tracker]", fakes)
    return Logbook(trackers, TrackedRun("river", "pretrain-1", None, Path("state")))


@contextmanager
def _heard() -> Iterator[list[str]]:
    """The notes that are said in the block."""
    reporter = StopAfter()
    with reporting_to(reporter):
        yield reporter.notes


def test_all_figures_arrive_in_order() -> None:
    fake, other = Fake(), Fake()
    with _book(fake, other) as log:
        for step in range(500):
            log.add(step, loss=1.0)
        log.conclude(499, score=2.0)
    assert [entry.step for entry in fake.entries] == [*range(500), 499]
    assert fake.entries[-1].final and fake.entries[-1].values == {"score": 2.0}
    assert fake.calls[0] == "open" and fake.calls[-1] == "close True"
    assert other.entries == fake.entries


def test_a_training_that_stops_is_not_finished() -> None:
    fake = Fake()
    with pytest.raises(ZeroDivisionError), _book(fake) as log:
        log.add(1, loss=1.0)
        raise ZeroDivisionError
    assert [entry.step for entry in fake.entries] == [1]
    assert fake.calls[-1] == "close False"


@pytest.mark.parametrize("call", ["open", "log", "close"])
def test_a_tracker_that_fails_is_named_once_and_left_out(call: str) -> None:
    bad, good = Fake(fails_at=call), Fake()
    with _heard() as notes, _book(bad, good) as log:
        for step in range(1000):
            log.add(step, loss=1.0)
    (said,) = notes
    assert said.startswith("fake shows no more of pretrain-1, training goes on without it")
    assert said.endswith("ConnectionError: no answer")
    assert len(good.entries) == 1000
    assert sum(made.startswith(call) for made in bad.calls) == 1


def test_a_tracker_that_does_not_answer_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_STOP_WITHIN_S", 0.1)
    monkeypatch.setattr(module, "_FINISH_WITHIN_S", 0.2)
    answer = threading.Event()
    slow = Fake(waits=answer)
    began = time.monotonic()
    try:
        with _heard() as notes, _book(slow) as log:
            for step in range(1000):
                log.add(step, loss=1.0)
        assert notes == ["fake took no last figures within 0 s; left behind"]
        assert time.monotonic() - began < 10
        assert not slow.entries
    finally:
        answer.set()


def test_nobody_is_told_where_there_is_no_run() -> None:
    fake = Fake()
    with Logbook(cast("Sequence[Tracker]", [fake]), None) as log:
        log.add(1, loss=1.0)
    assert not fake.calls
