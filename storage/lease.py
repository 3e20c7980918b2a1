"""Who builds what at this moment: so that two hosts do not train the same model by accident.

A lease is one small file with an end; its holder moves the end on by a compare-and-swap, and
whoever finds it past, or the file empty, may take it over. Nothing depends on it for being right:
two that build the same thing all the same end with one artifact (`Store.commit`).
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace

from storage.backends import Backend
from storage.errors import PhusaError

SECONDS = 60.0  # of a lease that is not renewed; a host that died is waited for that long
_BEATS = 4  # renewals in that time, so that three may fail


@dataclass(frozen=True)
class Lease:
    """What the file says. `uses` are the versions that the build reads: gc leaves them alone."""

    token: str
    work: str
    host: str
    pid: int
    since: float
    expires: float
    uses: tuple[str, ...] = ()

    def to_json(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @property
    def is_live(self) -> bool:
        return self.expires > time.time()

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(self.since))
        return f"{self.host}, process {self.pid}, since {since}"


def parse(data: bytes | None) -> Lease | None:
    """The lease in a file's bytes, or None if there is none that can be read."""
    try:
        raw = json.loads(data or b"")
        raw |= {"uses": tuple(raw["uses"]), "expires": float(raw["expires"])}
        return Lease(**raw)
    except (ValueError, TypeError, KeyError):
        return None


def live(backend: Backend) -> dict[str, Lease]:
    """Every lease that has not ended, by its key."""
    keys = [f"leases/{path}" for path, size in backend.sizes("leases").items() if size]
    found = zip(keys, map(parse, backend.read_all(keys)), strict=True)
    return {key: lease for key, lease in found if lease is not None and lease.is_live}


@contextmanager
def holding(
    backend: Backend,
    key: str,
    work: str,
    uses: Sequence[str] = (),
    *,
    seconds: float = SECONDS,
    waiting: Callable[[Lease], None] = lambda lease: None,
) -> Iterator[None]:
    """Hold the lease at `key` for the block; waits while another work folder holds it.

    `work` names the local work folder that is built in. Its lock is held by the caller, so a
    lease of the same folder is that of a process that died, and is taken over at once.
    """
    mine = Lease(
        token=uuid.uuid4().hex,
        work=work,
        host=socket.gethostname(),
        pid=os.getpid(),
        since=time.time(),
        expires=0.0,
        uses=tuple(uses),
    )
    while True:
        present = backend.read(key)
        other = parse(present)
        if other is None or other.work == work or not other.is_live:
            mine = replace(mine, expires=time.time() + seconds)
            if backend.swap(key, mine.to_json(), present):
                break
        else:
            waiting(other)
            time.sleep(min(1.0, seconds / _BEATS))
    heart = _Heart(backend, key, mine, seconds)
    heart.start()
    try:
        yield
    finally:
        heart.stop()


class _Heart:
    """Moves the end of a lease on, in a thread, until it is stopped or another has taken it."""

    def __init__(self, backend: Backend, key: str, mine: Lease, seconds: float) -> None:
        self._backend, self._key, self._mine, self._seconds = backend, key, mine, seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="phusa-lease", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()
        with contextlib.suppress(PhusaError, OSError):  # it ends by itself
            data = self._backend.read(self._key)
            present = parse(data)
            if present is not None and present.token == self._mine.token:
                # Emptied, not removed: only that can hang on its still being ours. Who slept here
                # would take the next holder's lease away.
                self._backend.swap(self._key, b"", data)

    def _beat(self) -> None:
        while not self._stopped.wait(self._seconds / _BEATS):
            renewed = replace(self._mine, expires=time.time() + self._seconds)
            try:
                if not self._backend.swap(self._key, renewed.to_json(), self._mine.to_json()):
                    present = parse(self._backend.read(self._key))
                    if present is None or present.token != self._mine.token:
                        return  # taken over: the build goes on, and the first to commit wins
                    renewed = present  # an earlier beat got through, and its answer did not
            except (PhusaError, OSError):
                continue  # the next beat may get through
            self._mine = renewed
