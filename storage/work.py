"""What lies on this machine and nobody needs: abandoned work folders, unused cached copies."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from storage.store import Store


@dataclass(frozen=True)
class Work:
    """The scratch folder of one build."""

    folder: Path
    num_bytes: int


def abandoned(store: Store, unused_s: float) -> list[Work]:
    """Work folders without a builder, in which nothing has changed for that many seconds."""
    found = []
    oldest = time.time() - unused_s
    for folder in sorted(store.work.glob("*/*/")):
        if not folder.is_dir():
            continue
        sizes, last = [], folder.stat().st_mtime
        for path in folder.rglob("*"):
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                sizes.append(status.st_size)
                last = max(last, status.st_mtime)
        if last < oldest:
            found.append(Work(folder, sum(sizes)))
    return found


def drop(store: Store, work: Iterable[Work], unused_s: float) -> None:
    """Remove work folders, unless someone has begun to build there, and unused cached copies."""
    for one in work:
        lock = FileLock(one.folder.with_name(one.folder.name + ".lock"))
        with contextlib.suppress(Timeout), lock.acquire(timeout=0):
            shutil.rmtree(one.folder, ignore_errors=True)
    store.cache.trim(unused_s)
