"""Reporters that show on others, and stop the work they count."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from flows import stopping
from flows.stopping import SIGNALS, StoppableReporter, Stopped, StopRequest, finish, signals_raised
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


# --- signals ------------------------------------------------------------------------------------


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The exit codes with which the process would have ended at once."""
    codes: list[int] = []
    monkeypatch.setattr(stopping, "leave_now", codes.append)
    monkeypatch.setattr(stopping, "end_process_soon", lambda *how: None)
    return codes


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_raised_and_a_second_one_ends_at_once(
    number: signal.Signals, left: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    before = signal.getsignal(number)
    with signals_raised(said.append):
        with pytest.raises(Stopped) as caught:
            signal.raise_signal(number)
        assert caught.value.exit_code == 128 + number and number.name in str(caught.value)
        signal.raise_signal(number)  # at once: `make` passes on what the group was sent
        assert not left
        monkeypatch.setattr("flows.stopping._SAME_S", 0.0)
        with pytest.raises(Stopped):
            signal.raise_signal(number)
        assert left == [128 + number] and said == [str(caught.value)]
    assert signal.getsignal(number) == before


def test_a_signal_that_nohup_ignores_stays_ignored(left: list[int]) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals_raised(print):
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_work_in_a_thread_is_asked_to_stop_and_waited_for(left: list[int]) -> None:
    stop, saved = StopRequest("by a signal"), list[str]()

    def work() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            while not stop.wait(0.01):
                pass
            stop.check()
        finally:
            saved.append(threading.current_thread().name)

    with signals_raised(print), pytest.raises(Stopped):
        finish(work, stop, lambda text: None)
    assert saved and saved != [threading.main_thread().name]
    assert not stopping._THREADS_HANG.is_set()


def test_work_that_is_done_gives_its_result_or_raises() -> None:
    assert finish(lambda: 3, StopRequest(), print) == 3
    with pytest.raises(Interrupted):
        finish(_interrupted, StopRequest(), print)


def _interrupted() -> None:
    raise Interrupted("no")
