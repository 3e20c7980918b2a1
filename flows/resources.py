"""What a build takes of the machine: measured while it runs, asked before the next one."""

from __future__ import annotations

import contextlib
import stat
import threading
from pathlib import Path
from typing import Self

import psutil

_EVERY_S = 0.25


class MemoryPeak:
    """The most memory that this process and its children took beyond what they began with.

    Resident set sizes are sampled and added up; pages that processes share count several times, so
    it errs on the side of more.
    """

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._start = self._now()
        self._peak = self._start
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="phusa-memory", daemon=True)

    @property
    def num_bytes(self) -> int:
        self._peak = max(self._peak, self._now())
        return self._peak - self._start

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(_EVERY_S):
            self._peak = max(self._peak, self._now())

    def _now(self) -> int:
        total = 0
        with contextlib.suppress(psutil.Error):
            for process in (self._process, *self._process.children(recursive=True)):
                with contextlib.suppress(psutil.Error):
                    total += process.memory_info().rss
        return total


def folder_bytes(folder: Path) -> int:
    """Bytes of all files under a folder."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            status = path.stat()
            total += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return total


def free_memory() -> int:
    """Bytes that can be taken without swapping."""
    return int(psutil.virtual_memory().available)


def free_disk(folder: Path) -> int:
    """Bytes free on the disk of a folder that may not be there yet."""
    while not folder.exists():
        folder = folder.parent
    return int(psutil.disk_usage(str(folder)).free)
