"""Where long work says how far it is. The work only names it; the flow decides how it is shown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Protocol

from tasks.printable import printable


class Bar(Protocol):
    """One piece of long work."""

    def advance(self, amount: int = 1, **facts: object) -> None:
        """`amount` more units are done; `facts` are shown beside (loss=2.31)."""

    def retarget(self, total: int) -> None:
        """The work turned out to be of another size."""


class Reporter(Protocol):
    """Shows bars and notes to whoever watches: a terminal, a log, the Prefect UI."""

    def bar(self, label: str, total: int, unit: str, done: int) -> AbstractContextManager[Bar]:
        """Show work of `total` units, `done` by an earlier attempt, until the block ends."""

    def note(self, text: str) -> None:
        """Say one line."""


class _SilentBar:
    def advance(self, amount: int = 1, **facts: object) -> None: ...
    def retarget(self, total: int) -> None: ...


class SilentReporter:
    """Shows nothing: the default in tests, notebooks and training workers."""

    @contextmanager
    def bar(self, label: str, total: int, unit: str, done: int) -> Iterator[Bar]:
        yield _SilentBar()

    def note(self, text: str) -> None: ...


_SILENT = SilentReporter()
_REPORTER: ContextVar[Reporter] = ContextVar("phusa_reporter", default=_SILENT)


def report_to(reporter: Reporter) -> None:
    """Show the progress of this context, and of the tasks submitted from it, on `reporter`."""
    _REPORTER.set(reporter)


@contextmanager
def reporting_to(reporter: Reporter) -> Iterator[None]:
    """`report_to` inside the block."""
    token = _REPORTER.set(reporter)
    try:
        yield
    finally:
        _REPORTER.reset(token)


def reporter_in_hand() -> Reporter:
    """Where the progress of this context is shown."""
    return _REPORTER.get()


def track(label: str, total: int, unit: str, done: int = 0) -> AbstractContextManager[Bar]:
    """Announce `total` units of work named `label`; advance the bar inside the block."""
    return _REPORTER.get().bar(printable(label), total, unit, done)


def note(text: str) -> None:
    """Say one line about the work in hand."""
    _REPORTER.get().note(printable(text))
