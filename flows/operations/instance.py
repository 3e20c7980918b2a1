"""Which `phusa up` runs here: a lock, and a note of its address and processes for everyone else."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from flows.operations.processes import kill_all, still_there, wait_for_end
from storage.errors import Fault, RequestError

_DYING_S = 15.0


@dataclass(frozen=True)
class Instance:
    """A `phusa up` and the processes it started: by name, pid and start time."""

    pid: int
    url: str
    recipe: str
    store: str
    services: Mapping[str, tuple[int, float]]

    @property
    def api_url(self) -> str:
        return f"{self.url}/api"


def folder_of(home: Path) -> Path:
    """Where `phusa up` keeps its note and logs."""
    return home / "phusa-up"


def read_instance(home: Path) -> Instance | None:
    """The last `phusa up` of this PREFECT_HOME, which may be over; None if it stopped cleanly."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        raw = json.loads((folder_of(home) / "running.json").read_text())
        services = {name: (int(pid), float(at)) for name, (pid, at) in raw["services"].items()}
        return Instance(**(raw | {"services": services}))
    return None


def running_instance(home: Path) -> Instance | None:
    """The `phusa up` that runs on this PREFECT_HOME now, or None."""
    instance = read_instance(home)
    return instance if instance is not None and psutil.pid_exists(instance.pid) else None


def write_instance(home: Path, instance: Instance) -> None:
    path = folder_of(home) / "running.json"
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(asdict(instance)))
    temporary.replace(path)


def started_at(pid: int) -> tuple[int, float]:
    """A pid with the time its process began, so that it cannot be taken for a later one."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return pid, psutil.Process(pid).create_time()
    return pid, 0.0


@contextmanager
def only_one(home: Path) -> Iterator[None]:
    """Hold PREFECT_HOME for one `phusa up`; what an earlier one that was killed left, is ended.

    Raises RequestError if another one runs.
    """
    folder = folder_of(home)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RequestError(_runs_already(home, read_instance(home))) from None
    try:
        _end_earlier(home)
        yield
        (folder / "running.json").unlink(missing_ok=True)
    finally:
        lock.release()


def _runs_already(home: Path, other: Instance | None) -> Fault:
    who = "being started" if other is None else f"process {other.pid}, with its UI at {other.url}"
    return Fault(
        f"phusa up on {home}",
        f"one that runs already: {who}",
        "none",
        "Use that one, or stop it first (Ctrl-C there"
        + (f", or kill {other.pid}" if other is not None else "")
        + "). For a second one beside it set PREFECT_HOME to another folder and give a --port.",
    )


def _end_earlier(home: Path) -> None:
    """The children of a `phusa up` that was killed are ending by themselves; see that they do."""
    earlier = read_instance(home)
    if earlier is not None and earlier.pid != os.getpid():
        left = wait_for_end(still_there(earlier.services.values()), _DYING_S)
        kill_all(left)
        wait_for_end(left, 5.0)
