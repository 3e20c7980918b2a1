"""What lies on this machine and nobody needs: abandoned work folders, unused cached copies."""

from __future__ import annotations

import contextlib
import shutil
import stat
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from storage import lease
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
                sizes.append(status.st_size if stat.S_ISREG(status.st_mode) else 0)
                last = max(last, status.st_mtime)
        if last < oldest:
            found.append(Work(folder, sum(sizes)))
    return found


def live_builds(store: Store) -> dict[str, lease.Lease]:
    """Leases that have not ended, by their key, without those of builds that died on this machine.

    A build here holds the lock of its work folder as long as it lives, and its lease a minute more.
    """
    return {
        key: held for key, held in lease.live(store.backend).items() if not _died(store, key, held)
    }


def _died(store: Store, key: str, held: lease.Lease) -> bool:
    try:
        here = (store.work / "id").read_text()
    except FileNotFoundError:
        return False
    path = store.work / (key.removeprefix("leases/").removesuffix(".json") + ".lock")
    if held.work != here or not path.exists():
        return False
    try:
        FileLock(path).acquire(timeout=0).lock.release()
    except Timeout:
        return False
    return True


def drop(store: Store, work: Iterable[Work], unused_s: float) -> None:
    """Remove work folders, unless someone has begun to build there, and unused cached copies."""
    for one in work:
        lock = FileLock(one.folder.with_name(one.folder.name + ".lock"))
        with contextlib.suppress(Timeout), lock.acquire(timeout=0):
            shutil.rmtree(one.folder, ignore_errors=True)
    store.cache.trim(unused_s)
