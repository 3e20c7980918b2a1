"""Child processes, each at the end of a pipe. One ends when its parent closes the pipe or dies.

`subprocess`, and not `multiprocessing`: that refuses to start a child where it runs in a daemon
itself, as in a Dask worker, and imports the main module once more.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from storage.errors import RunError

T = TypeVar("T")

_ROOT = str(Path(__file__).parents[1])

_CHILD = """
import json, sys
from importlib import import_module
from multiprocessing.connection import Connection
sys.path[:] = json.loads(sys.argv[1])
with Connection(int(sys.argv[2])) as pipe:
    getattr(import_module(sys.argv[3]), sys.argv[4])(pipe)
"""
_TOLD_EVERY_S = 0.1


def own_first(base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Give an environment, this process's by default, in which Python finds phusa's modules first.

    Others of their names lie in working directories and on a PYTHONPATH, such as a user's tasks.py.
    """
    path = filter(None, (_ROOT, base.get("PYTHONPATH")))
    return {**base, "PYTHONPATH": os.pathsep.join(path), "PYTHONSAFEPATH": "1"}


class Child:
    """A process that runs `serve`, a function of a module, and this side of its pipe."""

    def __init__(self, serve: Callable[[Connection], None]) -> None:
        self.pipe, theirs = Pipe()
        with theirs:
            words = ("-c", _CHILD, json.dumps([_ROOT, *sys.path]), str(theirs.fileno()))
            self._process = subprocess.Popen(
                [sys.executable, *words, serve.__module__, serve.__qualname__],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def end(self) -> int:
        """Kill it, unless it is dead or dying: that keeps its exit code, which is returned."""
        self.pipe.close()
        self._process.kill()
        return self._process.wait()


def call_in_child(
    function: Callable[..., T], *args: Any, advance: Callable[[int], object], **kwargs: Any
) -> T:
    """`function(*args, advance=…, **kwargs)` in a process of its own; here, a thread only waits.

    What the function raises is raised here, and what it returns is returned; both are pickled, as
    the arguments are. Its calls of `advance` come here as numbers of them, some times a second.
    Raises RunError if the process ends before it has answered.
    """
    child = Child(_answer_call)
    try:
        child.pipe.send((function, args, kwargs))
        while True:
            done, value = child.pipe.recv()
            if not done:
                advance(value)
            elif isinstance(value, BaseException):
                raise value
            else:
                return value  # type: ignore[no-any-return]
    except (EOFError, ConnectionError) as error:
        raise RunError(
            f"the process that ran {function.__name__} ended with exit code {child.end()}; "
            "expected it to finish. -9 is what the system does when memory is short: take fewer "
            "workers. What is done is kept: run the same command again."
        ) from error
    finally:
        child.end()


def _answer_call(pipe: Connection) -> None:
    """Runs in the child."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which ends this
    function, args, kwargs = pipe.recv()
    counter = _Counter(pipe)
    try:
        value = function(*args, advance=counter.advance, **kwargs)
    except Exception as error:
        value = _portable(error)
    with suppress(OSError):  # the parent is gone, and nobody waits
        counter.tell()
        pipe.send((True, value))


class _Counter:
    """Tells the parent of progress now and then; a parent that is gone ends the work."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe, self._num, self._told_at = pipe, 0, 0.0

    def advance(self) -> None:
        self._num += 1
        if time.monotonic() - self._told_at >= _TOLD_EVERY_S:
            self.tell()

    def tell(self) -> None:
        if self._num:
            self._pipe.send((False, self._num))
        self._num, self._told_at = 0, time.monotonic()


def _portable(error: Exception) -> Exception:
    """The error with where it was raised, or one that says the same, if it cannot be pickled."""
    where = "".join(traceback.format_exception(error))
    error.add_note(where)
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RunError(where)
    return error
