"""How a run that is told to stop gets its tasks to save what they have and end.

Prefect runs a flow in the main thread and its tasks in others. A cancelled run, a worker that is
stopped and a time limit end the flow by an exception in the main thread, and then Prefect waits
for the tasks, which know nothing of it: 40 s were seen. So they are asked to stop: they notice at
the next unit of work that they count, save a checkpoint and raise Interrupted.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import ExitStack, contextmanager, suppress
from contextvars import copy_context
from functools import partial
from time import monotonic
from types import FrameType
from typing import TypeVar

from storage.errors import Interrupted
from tasks.progress import Bar, Reporter

T = TypeVar("T")

_STOP_WITHIN_S = 10.0
_SAME_S = 0.5  # within which a second signal is the first one's echo
_END_WITHIN_S = 14.0  # with what is told to the Prefect server after that

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequest:
    """Set once, by whoever is told to stop; read by the threads that work."""

    def __init__(self, says: str = "the run was stopped; the next one goes on from here") -> None:
        self._says = says
        self._asked = threading.Event()

    @property
    def is_asked(self) -> bool:
        return self._asked.is_set()

    def ask(self) -> None:
        """Ask all that work to stop."""
        self._asked.set()

    def wait(self, seconds: float) -> bool:
        """Wait that long, or until someone asks to stop; True if so."""
        return self._asked.wait(seconds)

    def check(self) -> None:
        """Raise Interrupted if someone asked to stop."""
        if self.is_asked:
            raise Interrupted(self._says)


Handler = Callable[[int, FrameType | None], object] | int | None
"""A handler as signal.getsignal gives it."""


@contextmanager
def heard(hear: Handler, *numbers: signal.Signals) -> Iterator[None]:
    """Let `hear` handle these signals inside the block (in the main thread)."""
    before = {number: signal.signal(number, hear) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Stopped(BaseException):
    """A signal asked this process to end. It is raised in the main thread, wherever that is.

    No Exception: whoever goes on after an error does not go on after this.
    """

    def __init__(self, number: int) -> None:
        self.exit_code = 128 + number  # as shells have it
        super().__init__(
            f"stopped on {signal.Signals(number).name}; the same command goes on from here"
        )


@contextmanager
def signals_raised(say: Callable[[str], None]) -> Iterator[None]:
    """Raise Stopped at the first signal inside the block (in the main thread); a later one ends
    the process at once, and so does time, if the block does not end soon.

    A signal that was ignored before, as `nohup` has it, stays so.
    """
    stopped: list[Stopped] = []

    def leave(error: Stopped) -> None:
        say(str(error))
        leave_now(error.exit_code)

    began = 0.0

    def hear(number: int, frame: object) -> None:
        nonlocal began
        if stopped and monotonic() - began < _SAME_S:
            return  # `make` passes on what the whole group was sent
        if stopped:
            leave(stopped[0])
        began = monotonic()
        stopped.append(Stopped(number))
        end_process_soon(lambda: leave(stopped[0]), _END_WITHIN_S)
        raise stopped[0]

    with heard(hear, *(n for n in SIGNALS if signal.getsignal(n) is not signal.SIG_IGN)):
        yield


def finish(work: Callable[[], T], stop: StopRequest, say: Callable[[str], None]) -> T:
    """Have work done in a thread. Where a signal is raised meanwhile, it is asked to stop, and has
    10 s for that."""
    done: Future[T] = Future()

    def settle() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    thread = threading.Thread(target=copy_context().run, args=(settle,), daemon=True)
    try:
        thread.start()
        return done.result()  # join() takes the thread for ended once an exception interrupts it
    except (Stopped, KeyboardInterrupt):  # the latter in a notebook
        say("stopping …")
        stop.ask()
        if wait([done], _STOP_WITHIN_S).not_done:
            wait_for_no_thread()
        raise


_THREADS_HANG = threading.Event()


def wait_for_no_thread() -> None:
    """Have `leave` not wait for threads: one hangs, or Prefect's wait for a server that is away."""
    _THREADS_HANG.set()


def leave(code: int) -> None:
    """End this process."""
    if _THREADS_HANG.is_set():
        leave_now(code)
    sys.exit(code)


def leave_now(code: int) -> None:
    """End this process without waiting for a thread of it; all that is on disk stands that."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def end_process_soon(
    leave: Callable[[], None] = partial(leave_now, Interrupted.exit_code),
    within_s: float = _STOP_WITHIN_S,
) -> None:
    """End this process then, if its threads let it live so long.

    A thread in the middle of its work cannot be interrupted, and Prefect waits for its threads;
    whatever is on disk is safe against an end at any time.
    """
    limit = threading.Timer(within_s, leave)
    limit.daemon = True
    limit.start()


def serves_one_run() -> bool:
    """Say whether a Prefect worker started this process for a flow run, and for nothing else."""
    return "PREFECT__FLOW_RUN_ID" in os.environ


@contextmanager
def stopping_tasks(stop: StopRequest) -> Iterator[None]:
    """Ask the tasks to stop where the block is left by an exception."""
    try:
        yield
    except BaseException as error:
        by_signal = not isinstance(error, Exception)  # and not by a task that failed
        if by_signal and serves_one_run() and not stop.is_asked:
            end_process_soon()
        stop.ask()
        raise


class StoppableReporter:
    """Shows on every reporter of `shown`; bars raise Interrupted once the work is asked to stop."""

    def __init__(self, stop: StopRequest, *shown: Reporter) -> None:
        self._stop, self._shown = stop, shown

    @contextmanager
    def bar(self, label: str, total: int, unit: str, done: int) -> Iterator[Bar]:
        with ExitStack() as stack:
            bars = (one.bar(label, total, unit, done) for one in self._shown)
            yield _StoppableBar(self._stop, [stack.enter_context(bar) for bar in bars])

    def note(self, text: str) -> None:
        for one in self._shown:
            one.note(text)


class _StoppableBar:
    def __init__(self, stop: StopRequest, shown: list[Bar]) -> None:
        self._stop, self._shown = stop, shown

    def advance(self, amount: int = 1, **facts: object) -> None:
        self._stop.check()
        for bar in self._shown:
            bar.advance(amount, **facts)

    def retarget(self, total: int) -> None:
        for bar in self._shown:
            bar.retarget(total)
