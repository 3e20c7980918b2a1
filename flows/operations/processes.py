"""The processes of `phusa up`: how they start and end, and which ones run on a PREFECT_HOME.

Each has its log and a session of its own, and ends with `phusa up`. A lock keeps a second
`phusa up` away; a note, `running.json`, tells everyone else its address and processes.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from storage.errors import Fault, RequestError

_PR_SET_PDEATHSIG = 1
_TAIL_LINES = 15
_DYING_S = 15.0


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
        with suppress(FileNotFoundError):
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
        if self._process is not None:
            self._process.send_signal(number)  # to nobody, if it has ended

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
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def tail(self) -> list[str]:
        """The last lines of its log."""
        return self.log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]


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


def kill_all(processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def wait_or_kill(processes: Iterable[psutil.Process], grace_s: float) -> list[psutil.Process]:
    """Wait until they have ended, then SIGKILL; those that were killed."""
    left = _wait_for_end(processes, grace_s)
    kill_all(left)
    _wait_for_end(left, 5.0)
    return left


def _wait_for_end(processes: Iterable[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait until they have ended; those that have not. Unlike psutil's, it counts zombies out."""
    deadline = time.monotonic() + seconds
    left = [process for process in processes if _is_alive(process)]
    while left and time.monotonic() < deadline:
        time.sleep(0.1)
        left = [process for process in left if _is_alive(process)]
    return left


def _is_alive(process: psutil.Process) -> bool:
    """Whether it runs; a dead child that its parent has not asked for does not."""
    with suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


# --- which `phusa up` runs here -------------------------------------------------------------------


@dataclass(frozen=True)
class UpNote:
    """A `phusa up` and the processes that it started: by name, pid and start time."""

    pid: int
    url: str
    services: Mapping[str, tuple[int, float]]


def up_folder(home: Path) -> Path:
    """Where `phusa up` keeps its note and logs."""
    return home / "phusa-up"


def read_note(home: Path) -> UpNote | None:
    """The last `phusa up` of this PREFECT_HOME, which may be over; None if it stopped cleanly."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        raw = json.loads((up_folder(home) / "running.json").read_text())
        services = {name: (int(pid), float(at)) for name, (pid, at) in raw["services"].items()}
        return UpNote(raw["pid"], raw["url"], services)
    return None


def write_note(home: Path, note: UpNote) -> None:
    path = up_folder(home) / "running.json"
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(asdict(note)))
    temporary.replace(path)


def started_at(pid: int) -> tuple[int, float]:
    """A pid with the time its process began, so that it cannot be taken for a later one."""
    with suppress(psutil.NoSuchProcess):
        return pid, psutil.Process(pid).create_time()
    return pid, 0.0


@contextmanager
def only_one(home: Path) -> Iterator[None]:
    """Hold PREFECT_HOME for one `phusa up`; what an earlier one that was killed left, is ended.

    Raises RequestError if another one runs.
    """
    folder = up_folder(home)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RequestError(_runs_already(home, read_note(home))) from None
    try:
        _end_earlier(home)
        yield
        (folder / "running.json").unlink(missing_ok=True)
    finally:
        lock.release()


def _runs_already(home: Path, other: UpNote | None) -> Fault:
    who, kill = "being started", ""
    if other is not None:
        who, kill = f"process {other.pid}, with its UI at {other.url}", f", or kill {other.pid}"
    return Fault(
        f"phusa up on {home}",
        f"one that runs already: {who}",
        "none",
        f"Use that one, or stop it first (Ctrl-C there{kill}). For a second one beside it set "
        "PREFECT_HOME to another folder and give a --port.",
    )


def _end_earlier(home: Path) -> None:
    """The children of a `phusa up` that was killed are ending by themselves; see that they do."""
    earlier = read_note(home)
    if earlier is None or earlier.pid == os.getpid():
        return
    left = []
    for pid, created in earlier.services.values():
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if abs(process.create_time() - created) < 1:  # a pid alone may be another's by now
                left.append(process)
    wait_or_kill(left, _DYING_S)
