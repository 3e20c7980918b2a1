"""Every error that phusa raises on purpose.

    PhusaError
    ├── RequestError        the request was wrong: nothing was started (exit code 2)
    │   ├── UnknownArtifact     no such artifact, version or stage
    │   ├── StoreDenied         the store refuses: no bucket, no credentials, no permission
    │   ├── PathUnusable        a path that is no folder, no file, or not there
    │   └── NotEnoughRoom       the run needs more disk or memory than there is
    └── RunError            the run could not go on: nothing half-done was sealed (exit code 1)
        ├── SiteUnreachable     a seed or a site on loopback does not answer
        ├── NothingLeft         a stage would seal no row at all
        ├── CorpusTooSmall      too little text for what was asked of it
        ├── TrainingDiverged    the loss is no longer a finite number
        ├── StoreFull           no space left, or a quota reached
        ├── LimitReached        no more memory, open files or processes are allowed
        ├── Interrupted         the user asked the run to stop
        ├── WorkerRunFailed     a run that was handed to a worker did not end well
        ├── ClusterUnusable     a cluster does not answer, or a node of it cannot do the work
        ├── StoreUnreachable    the store does not answer, or not in time
        ├── GateFailed          a blocking check on what a stage made does not hold
        ├── BranchesFailed      several instances of a recipe failed
        └── DamagedArtifact     sealed files are missing, truncated or unreadable

A message states the value found, what was expected, and the remedy.
"""

from __future__ import annotations

import difflib
import errno
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Fault:
    """One thing wrong: where, what was found, what was expected, how to mend it.

    `code` names the kind of fault for programs and tests; the words may change, it does not.
    """

    where: str
    found: str
    expected: str
    remedy: str
    code: str = "invalid"

    def __str__(self) -> str:
        return f"{self.where}: found {self.found}; expected {self.expected}. {self.remedy}"


def suggestion(found: str, known: Iterable[object], otherwise: str) -> str:
    """Ask back with the known name that is nearest, as a remedy; `otherwise` if none is near."""
    names = {str(name).lower(): str(name) for name in known}
    near = difflib.get_close_matches(found.lower(), names, n=1)
    return f"Did you mean `{names[near[0]]}`?" if near else otherwise


class PhusaError(Exception):
    """Base of all errors that phusa raises on purpose; `exit_code` is the process's.

    Made of a message, or of faults, from which the message follows.
    """

    exit_code = 1

    def __init__(self, says: str | Fault | Sequence[Fault]) -> None:
        faults = (says,) if isinstance(says, Fault) else says
        self.faults: tuple[Fault, ...] = () if isinstance(faults, str) else tuple(faults)
        super().__init__(faults if isinstance(faults, str) else "\n".join(map(str, faults)))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.faults or str(self),), self.__dict__  # with what was noted on it

    @property
    def code(self) -> str:
        """Name the kind of error for programs: its class, as `gate_failed`."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()

    def as_json(self) -> dict[str, object]:
        """Give the error as commands print it with `--json`."""
        faults = [asdict(fault) for fault in self.faults]
        return {"code": self.code, "says": str(self), "faults": faults}


class RequestError(PhusaError):
    """A request that is refused before any work, with all its faults at once."""

    exit_code = 2

    def __init__(self, faults: Sequence[Fault] | Fault) -> None:
        super().__init__(faults)


class UnknownArtifact(RequestError):
    """An artifact, version or stage that the store does not hold."""


class StoreDenied(RequestError):
    """A store that refuses what was asked: no such bucket, no credentials, no permission."""


class PathUnusable(RequestError):
    """A path that is no folder where one is wanted, no file, or not there."""


class NotEnoughRoom(RequestError):
    """A run that would need more disk or memory than there is."""


class RunError(PhusaError):
    """A run that cannot go on."""


class SiteUnreachable(RunError):
    """A seed or a site on loopback does not answer."""


class NothingLeft(RunError):
    """A stage would seal no row at all."""


class CorpusTooSmall(RunError):
    """Too little text for what was asked of it."""


class TrainingDiverged(RunError):
    """The loss is no longer a finite number."""


class StoreFull(RunError):
    """No space left where the store lives."""


class LimitReached(RunError):
    """No more memory, open files or processes than this process has are allowed."""


class Interrupted(RunError):
    """The user asked the run to stop."""


class WorkerRunFailed(RunError):
    """A run that was handed to a worker failed, crashed, was cancelled, or left nothing here."""


class ClusterUnusable(RunError):
    """A Ray or Dask cluster that does not answer, or has a node that cannot do the work."""


class StoreUnreachable(RunError):
    """A store that does not answer, or not in time."""


class GateFailed(RunError):
    """A blocking check on what a stage made does not hold; the build is kept in quarantine."""


class BranchesFailed(RunError):
    """Several instances of a recipe failed, each for a reason of its own."""


class DamagedArtifact(RunError):
    """Sealed files are missing, truncated or unreadable."""


# --- the operating system's errors, as ours -------------------------------------------------------


@dataclass(frozen=True)
class _Kind:
    """What an error of the operating system is to a user: its class, and how to mend it."""

    error: type[PhusaError]
    code: str
    expected: str
    remedy: str


_FULL = _Kind(
    StoreFull,
    "no_space",
    "room for what is written",
    "Free some space or choose another store with --store PATH, then run the same command: it "
    "goes on where it stopped.",
)
_FORBIDDEN = _Kind(
    StoreDenied,
    "permission_denied",
    "a place that this user can read and write",
    "Give the user those permissions, or choose another place: --store PATH for the store.",
)
_READ_ONLY = _Kind(
    StoreDenied,
    "read_only",
    "a place that can be written",
    "Mount it for writing, or choose another place: --store PATH for the store.",
)
_NO_FOLDER = _Kind(
    PathUnusable,
    "not_a_folder",
    "folders all along the path",
    "A file stands where a folder is to be: move it away, or name another path.",
)
_NO_FILE = _Kind(PathUnusable, "not_a_file", "a file", "Name a file in that folder.")
_NOTHING = _Kind(
    PathUnusable,
    "no_such_file",
    "a file or folder",
    "Name one that is there; what a store lacks, `phusa verify` says.",
)
_NO_NAME = _Kind(PathUnusable, "bad_path", "a path that can be", "Name another path.")
_TOO_MANY_FILES = _Kind(
    LimitReached,
    "too_many_open_files",
    "a higher limit of open files",
    "Raise it, `ulimit -n 4096`, then run the same command: it goes on where it stopped.",
)
_NO_PROCESS = _Kind(
    LimitReached,
    "too_many_processes",
    "a higher limit of processes and threads",
    "Raise it (`ulimit -u`, or the container's limit) or take fewer `workers`, then run the same "
    "command: it goes on where it stopped.",
)
_NO_MEMORY = _Kind(
    LimitReached,
    "out_of_memory",
    "more memory than this process may take",
    "Raise the limit (`ulimit -v`, or the container's) or take fewer `workers` and smaller "
    "batches, then run the same command: it goes on where it stopped.",
)
_DEVICE = _Kind(
    StoreUnreachable,
    "device_failed",
    "a disk that answers",
    "Look after the disk or the mount, then run the same command: it goes on where it stopped.",
)
_BY_NUMBER = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), _FULL),
    **dict.fromkeys((errno.EACCES, errno.EPERM), _FORBIDDEN),
    errno.EROFS: _READ_ONLY,
    **dict.fromkeys((errno.ENOTDIR, errno.EEXIST), _NO_FOLDER),
    errno.EISDIR: _NO_FILE,
    errno.ENOENT: _NOTHING,
    **dict.fromkeys((errno.ENAMETOOLONG, errno.ELOOP), _NO_NAME),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), _TOO_MANY_FILES),
    errno.EAGAIN: _NO_PROCESS,
    errno.ENOMEM: _NO_MEMORY,
    **dict.fromkeys((errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO), _DEVICE),
}
_BY_SQLITE_NAME = {
    **dict.fromkeys(("FULL", "IOERR_WRITE", "IOERR_SHMSIZE", "IOERR_TRUNCATE"), _FULL),
    **dict.fromkeys(("READONLY", "READONLY_DIRECTORY", "READONLY_CANTINIT"), _READ_ONLY),
    **dict.fromkeys(("CANTOPEN", "PERM", "AUTH"), _FORBIDDEN),
    "NOMEM": _NO_MEMORY,
    **dict.fromkeys(("IOERR", "IOERR_READ", "IOERR_FSYNC"), _DEVICE),
}
_BY_WORDS = {
    "can't start new thread": _NO_PROCESS,
    "Too many open files": _TOO_MANY_FILES,
    "failed to map segment": _NO_MEMORY,
    "annot allocate memory": _NO_MEMORY,
    "can't allocate memory": _NO_MEMORY,
    "out of memory": _NO_MEMORY,
}
# Not these: they are answers that code asks for (is it there? is it a folder?), unless nobody did.
_ANSWERS = (_NOTHING, _NO_FOLDER, _NO_FILE, _NO_NAME, _NO_PROCESS)


def _kind_of(error: BaseException) -> _Kind | None:
    if isinstance(error, MemoryError):
        return _NO_MEMORY
    if isinstance(error, sqlite3.OperationalError):
        return _BY_SQLITE_NAME.get(getattr(error, "sqlite_errorname", "").removeprefix("SQLITE_"))
    if isinstance(error, OSError):
        return _BY_NUMBER.get(error.errno or 0)
    if isinstance(error, ImportError | RuntimeError):  # of the loader, of Python, of torch
        return next((kind for says, kind in _BY_WORDS.items() if says in str(error)), None)
    return None


def _named(kind: _Kind, error: BaseException, where: object) -> PhusaError:
    place = getattr(error, "filename", None) or where
    found = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return kind.error(Fault(str(place), found, kind.expected, kind.remedy, kind.code))


@contextmanager
def os_errors_named(where: object) -> Iterator[None]:
    """Turn errors of the machine into ours, naming the place: full, forbidden, a limit reached.

    Answers that a caller may have asked for, such as FileNotFoundError, stay as they are.
    """
    try:
        yield
    except (OSError, MemoryError, ImportError, RuntimeError, sqlite3.OperationalError) as error:
        kind = _kind_of(error)
        if kind is None or kind in _ANSWERS:
            raise
        raise _named(kind, error, where) from error


def named_error(error: BaseException | None, where: object = "this process") -> PhusaError | None:
    """Say an error that nobody took as ours, if it, or what led to it, is one of the machine."""
    first = error
    while error is not None:
        kind = _kind_of(error)
        if kind is not None and (error is first or kind not in _ANSWERS):
            return _named(kind, error, where)
        error = error.__cause__ or error.__context__
    return None
