"""Processes that `phusa up` starts: each with its log, in a session of its own, ended with us."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import psutil

_PR_SET_PDEATHSIG = 1
_TAIL_LINES = 15


class Service:
    """One program with its log file. `start` may be called again after it has ended."""

    def __init__(
        self, name: str, command: Sequence[str], env: Mapping[str, str], log: Path, cwd: Path
    ) -> None:
        self.name, self.log = name, log
        self._command, self._env, self._cwd = list(command), dict(env), cwd
        self._process: subprocess.Popen[bytes] | None = None
        self.started: list[float] = []
        log.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            log.replace(log.with_suffix(".old.log"))

    def start(self) -> None:
        """Start it; call in the main thread: Linux ends it with the thread that started it."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._env,
                cwd=self._cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in the terminal reaches `phusa up` alone
                preexec_fn=_ending_with(os.getpid()),  # noqa: PLW1509
            )
        self.started.append(time.monotonic())

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    @property
    def exit_code(self) -> int | None:
        """None while it runs, or was never started."""
        return self._process.poll() if self._process is not None else None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        if self.is_running and self._process is not None:
            self._process.send_signal(number)

    def end(self, grace_s: float) -> bool:
        """SIGTERM, then SIGKILL to its whole session; False if that was needed."""
        if self._process is None:
            return True
        self.send(signal.SIGTERM)
        self.send(signal.SIGCONT)  # it may be stopped; SIGTERM is delivered first
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return False
        return True

    def kill(self) -> None:
        """SIGKILL to its whole session."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def tail(self) -> str:
        """The last lines of its log."""
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-_TAIL_LINES:])


def _ending_with(parent: int) -> Callable[[], None]:
    """What a child does before it becomes its program: die with its parent, and obey SIGINT.

    After `nohup` or in a shell's background SIGINT is ignored, and a Prefect worker that inherits
    that cannot be stopped but by SIGKILL.
    """
    prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None

    def prepare() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:  # died in between
                os._exit(1)

    return prepare


def still_there(known: Iterable[tuple[int, float]]) -> list[psutil.Process]:
    """Those of the (pid, start time) that still run: a pid alone may be another's by now."""
    found = []
    for pid, created in known:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if abs(process.create_time() - created) < 1 and is_alive(process):
                found.append(process)
    return found


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs; a dead child that its parent has not asked for does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def wait_for_end(processes: Iterable[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait until they have ended; those that have not. Unlike psutil's, it counts zombies out."""
    deadline = time.monotonic() + seconds
    left = [process for process in processes if is_alive(process)]
    while left and time.monotonic() < deadline:
        time.sleep(0.1)
        left = [process for process in left if is_alive(process)]
    return left


def kill_all(processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
