"""How a stage that is told to stop gets its tasks to save what they have and end.

Prefect runs a flow in the main thread and its tasks in others. A cancelled run, a worker that is
stopped and a time limit end the flow by an exception in the main thread, and then Prefect waits
for the tasks, which know nothing of it: 40 s were seen. Here leaving the block asks them to stop;
they notice at the next unit of work that they count, save a checkpoint and raise Interrupted.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from storage.errors import Interrupted
from tasks.progress import Bar, Reporter

_STOP_WITHIN_S = 10.0
"""After it, the process ends: whatever is on disk is safe against that."""


class Stop(Protocol):
    """Knows whether someone asked to stop."""

    def check(self) -> None:
        """Raise Interrupted if so."""


class StopRequest:
    """Set once, by whoever is told to stop; read by the tasks."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    def ask(self, *, at_once: bool) -> None:
        """Ask all tasks to stop. With `at_once`, a process that serves one run ends soon anyway."""
        if self._asked.is_set():
            return
        self._asked.set()
        if at_once and serves_one_run():
            limit = threading.Timer(_STOP_WITHIN_S, os._exit, [Interrupted.exit_code])
            limit.daemon = True
            limit.start()

    def check(self) -> None:
        """Raise Interrupted if tasks were asked to stop."""
        if self._asked.is_set():
            raise Interrupted("the run was stopped; the next one goes on from here")


def serves_one_run() -> bool:
    """Whether a Prefect worker started this process for a flow run, and for nothing else."""
    return "PREFECT__FLOW_RUN_ID" in os.environ


@contextmanager
def stopping_tasks(stop: StopRequest) -> Iterator[None]:
    """Ask the tasks to stop where the block is left by an exception."""
    try:
        yield
    except BaseException as error:
        stop.ask(at_once=not isinstance(error, Exception))  # a signal, not a task that failed
        raise


class StoppableReporter:
    """Another reporter, whose bars raise Interrupted once the tasks are asked to stop."""

    def __init__(self, shown: Reporter, stop: Stop) -> None:
        self._shown, self._stop = shown, stop

    @contextmanager
    def bar(self, label: str, total: int, unit: str, done: int) -> Iterator[Bar]:
        inner: AbstractContextManager[Bar] = self._shown.bar(label, total, unit, done)
        with inner as bar:
            yield _StoppableBar(bar, self._stop)

    def note(self, text: str) -> None:
        self._shown.note(text)


class _StoppableBar:
    def __init__(self, shown: Bar, stop: Stop) -> None:
        self._shown, self._stop = shown, stop

    def advance(self, amount: int = 1, **facts: object) -> None:
        self._stop.check()
        self._shown.advance(amount, **facts)

    def retarget(self, total: int) -> None:
        self._shown.retarget(total)
