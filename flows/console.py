"""Progress as a person watches it: live bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from storage.errors import Interrupted
from tasks.progress import Bar, Reporter

_PLAIN_EVERY_S = 10.0
_STOP_WITHIN_S = 10.0


class StopSignal:
    """Ctrl-C, as the work in other threads notices it: at the next unit that it counts.

    A thread in the middle of its work cannot be interrupted, and Prefect waits for its threads. If
    they do not end in time, the process does: whatever is on disk is safe against that.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._asked = threading.Event()

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Take over Ctrl-C inside the block (in the main thread)."""
        before = signal.signal(signal.SIGINT, self._ask)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def check(self) -> None:
        """Raise Interrupted if the user asked to stop."""
        if self._asked.is_set():
            raise Interrupted("stopped on request; the same command goes on from here")

    def _ask(self, number: int, frame: object) -> None:
        self._console.print("stopping …")
        self._asked.set()
        threading.Timer(_STOP_WITHIN_S, self._end).start()

    def _end(self) -> None:
        self._console.print("stopped on request; the same command goes on from here")
        os._exit(Interrupted.exit_code)


@contextmanager
def console_reporter(console: Console) -> Iterator[Reporter]:
    """A reporter for `console`; live while the block runs."""
    if not console.is_terminal:
        yield _PlainReporter(console)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<26}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        _Rate(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[facts]}"),
    )
    with Progress(*columns, console=console, transient=True, refresh_per_second=4) as progress:
        yield _LiveReporter(progress)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f}/s" if speed else "", style="dim")


def _facts(facts: dict[str, object]) -> str:
    shown = ((k, f"{v:.3f}" if isinstance(v, float) else str(v)) for k, v in facts.items())
    return " ".join(f"{key} {value}" for key, value in shown)


class _LiveBar:
    def __init__(self, progress: Progress, task: object) -> None:
        self._progress, self._task = progress, task

    def advance(self, amount: int = 1, **facts: object) -> None:
        fields = {"facts": _facts(facts)} if facts else {}
        self._progress.update(self._task, advance=amount, **fields)  # type: ignore[arg-type]

    def retarget(self, total: int) -> None:
        self._progress.update(self._task, total=total)  # type: ignore[arg-type]


class _LiveReporter:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    @contextmanager
    def bar(self, label: str, total: int, unit: str, done: int) -> Iterator[Bar]:
        task = self._progress.add_task(label, total=total, completed=done, unit=unit, facts="")
        try:
            yield _LiveBar(self._progress, task)
        finally:
            self._progress.remove_task(task)

    def note(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False)


class _PlainBar:
    """Prints a line every ten seconds at most, with the share done and the time left."""

    def __init__(self, console: Console, label: str, total: int, unit: str, done: int) -> None:
        self._console, self._label, self._total, self._unit = console, label, total, unit
        self._first = self._done = done
        self._started = self._printed = monotonic()
        self._lock = threading.Lock()

    def advance(self, amount: int = 1, **facts: object) -> None:
        with self._lock:
            self._done += amount
            if monotonic() - self._printed >= _PLAIN_EVERY_S:
                self._printed = monotonic()
                self._print(_facts(facts))

    def retarget(self, total: int) -> None:
        self._total = total

    def _print(self, facts: str) -> None:
        elapsed = monotonic() - self._started
        rate = (self._done - self._first) / elapsed
        left = (
            f"about {max(self._total - self._done, 0) / rate:.0f} s left" if rate else "no estimate"
        )
        done = f"{self._done:,} of {self._total:,} {self._unit}"
        self._console.print(
            f"  {self._label}: {done}, {rate:,.0f}/s, {left} {facts}".rstrip(),
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


class _PlainReporter:
    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def bar(self, label: str, total: int, unit: str, done: int) -> Iterator[Bar]:
        yield _PlainBar(self._console, label, total, unit, done)

    def note(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)
