"""Every error that phusa raises on purpose.

    PhusaError
    ├── RequestError        the request was wrong: nothing was started (exit code 2)
    │   ├── UnknownArtifact     no such artifact, version or stage
    │   ├── StoreDenied         the store refuses: no bucket, no credentials, no permission
    │   └── NotEnoughRoom       the run needs more disk or memory than there is
    └── RunError            the run could not go on: nothing half-done was sealed (exit code 1)
        ├── SiteUnreachable     a seed or a site on loopback does not answer
        ├── NothingLeft         a stage would seal no row at all
        ├── CorpusTooSmall      too little text for what was asked of it
        ├── TrainingDiverged    the loss is no longer a finite number
        ├── StoreFull           no space left, or a quota reached
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


_SQLITE_NO_SPACE = frozenset(
    {"SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE", "SQLITE_IOERR_TRUNCATE"}
)


@contextmanager
def full_disk_named(where: object) -> Iterator[None]:
    """Turn "no space" errors, the system's and SQLite's, into `StoreFull`, naming the place."""
    try:
        yield
    except (OSError, sqlite3.OperationalError) as error:
        if isinstance(error, OSError):
            is_full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        else:
            is_full = error.sqlite_errorname in _SQLITE_NO_SPACE
        if not is_full:
            raise
        raise StoreFull(
            f"no space left while writing to {where} ({error}); "
            "expected room for the stage's output. Free some space or choose another store "
            "with --store PATH, then run the same command: it goes on where it stopped."
        ) from error
