"""Progress as a person watches it: live bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from tasks.progress import Bar, Reporter

_PLAIN_EVERY_S = 10.0


@contextmanager
def console_reporter(console: Console) -> Iterator[Reporter]:
    """A reporter for `console`; live while the block runs."""
    if not console.is_terminal:
        yield _ConsoleReporter(console)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<26}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}", markup=False),
        _Rate(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[facts]}", markup=False),
    )
    with Progress(*columns, console=console, transient=True, refresh_per_second=4) as progress:
        yield _ConsoleReporter(console, progress)


class _ConsoleReporter:
    """Shows bars on `progress`, or where there is none, as plain lines."""

    def __init__(self, console: Console, progress: Progress | None = None) -> None:
        self._console, self._progress = console, progress

    @contextmanager
    def bar(self, label: str, total: int, unit: str, done: int) -> Iterator[Bar]:
        if self._progress is None:
            yield _PlainBar(self._console, label, total, unit, done)
            return
        task = self._progress.add_task(label, total=total, completed=done, unit=unit, facts="")
        try:
            yield _LiveBar(self._progress, task)
        finally:
            self._progress.remove_task(task)

    def note(self, text: str) -> None:
        plain = self._progress is None
        self._console.print(text, markup=False, highlight=False, soft_wrap=plain)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f}/s" if speed else "", style="dim")


def _facts(facts: dict[str, object]) -> str:
    shown = ((k, f"{v:.3f}" if isinstance(v, float) else str(v)) for k, v in facts.items())
    return ", ".join(f"{key} {value}" for key, value in shown)


class _LiveBar:
    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def advance(self, amount: int = 1, **facts: object) -> None:
        shown: dict[str, Any] = {"facts": _facts(facts)} if facts else {}
        self._progress.update(self._task, advance=amount, **shown)

    def retarget(self, total: int) -> None:
        self._progress.update(self._task, total=total)


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
            now = monotonic()
            if now - self._printed < _PLAIN_EVERY_S:
                return
            self._printed = now
            rate = (self._done - self._first) / (now - self._started)
            remaining = max(self._total - self._done, 0)
            left = f"about {remaining / rate:.0f} s left" if rate else "no estimate"
            done = f"{self._done:,} of {self._total:,} {self._unit}"
            line = f"  {self._label}: {done}, {rate:,.0f}/s, {left} {_facts(facts)}".rstrip()
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def retarget(self, total: int) -> None:
        self._total = total
