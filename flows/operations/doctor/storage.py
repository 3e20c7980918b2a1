"""The store: reachable, writable, with room; and what dead builds left beside it."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from flows.operations.doctor.finding import Finding, Place, error, ok, warning
from flows.render import size
from flows.resources import free_disk
from storage.backends import Backend
from storage.errors import PhusaError
from storage.store import Store
from storage.work import abandoned, live_builds

_TIGHT_BYTES, _FULL_BYTES = 10_000_000_000, 1_000_000_000
_LEFT_S = 86_400.0
_CONNECT_S, _READ_S = 3.0, 5.0


def store(place: Place) -> list[Finding]:
    """Write, read and delete a probe, with the conditional writes that sealing stands on."""
    try:
        backend = _open(place).backend
        local = backend.local_path("probes")
        if local is not None and not local.parent.exists():
            return [_not_there_yet(local.parent)]
        faults = list(_probe(backend, f"probes/{uuid.uuid4().hex}"))
        if local is not None:
            with contextlib.suppress(OSError):  # another doctor is at it
                local.rmdir()
    except (PhusaError, OSError) as problem:
        remedy = "Mend what it says, or choose another with --store or PHUSA_STORE."
        text = " ".join(str(problem).split())
        return [error("store", text, "a store that can be read and written", remedy)]
    if faults:
        remedy = "Use a store that keeps S3's conditional writes (docs/storage.md)."
        expected = "create-only writes and compare-and-swap"
        return [error("store", "; ".join(faults), expected, remedy)]
    return [ok("store", f"{backend.address}: reads, writes and conditional writes work")]


def _not_there_yet(folder: Path) -> Finding:
    parent = folder
    while not parent.exists():
        parent = parent.parent
    if os.access(parent, os.W_OK):
        return ok("store", f"{folder} is not there yet; the first run makes it")
    remedy = "Give yourself the right to write there, or choose another with --store."
    return error("store", f"{parent} cannot be written", f"a place to make {folder}", remedy)


def _open(place: Place) -> Store:
    address = place.store or ".phusa"
    if not address.startswith("s3://"):
        return Store(address)
    from storage.backends.s3 import S3Backend

    backend = S3Backend(address, connect_timeout_s=_CONNECT_S, read_timeout_s=_READ_S)
    return Store(address, backend=backend)


@contextlib.contextmanager
def asking_once() -> Iterator[None]:
    """Inside the block an S3 that does not answer is not asked again five times."""
    before = os.environ.get("AWS_MAX_ATTEMPTS")
    os.environ["AWS_MAX_ATTEMPTS"] = "1"
    try:
        yield
    finally:
        del os.environ["AWS_MAX_ATTEMPTS"]
        if before is not None:
            os.environ["AWS_MAX_ATTEMPTS"] = before


def _probe(backend: Backend, folder: str) -> Iterator[str]:
    """What the back end does otherwise than it must, one line each."""
    key = f"{folder}/probe"
    mine, other = (f"{name} {uuid.uuid4().hex}".encode() for name in ("first", "second"))
    # A read first: where a host takes connections and says nothing, it ends after the time set,
    # and a write (which waits for "100 Continue") was still waiting after 90 s.
    if backend.read(key) is not None or not backend.create(key, mine):
        yield "a new file could not be created"
    if backend.create(key, other):
        yield "a file that was there was created again"
    if backend.swap(key, other, other):
        yield "a swap that expected other bytes went through"
    if backend.read(key) != mine:
        yield "what was written is not what is read"
    backend.delete(folder)


def disk(place: Place) -> list[Finding]:
    """Room for the store, if it is a folder, and for work and temporary files."""
    here = _open(place)
    local = here.backend.local_path("versions")
    folders = {"disk of work": here.work, "disk of PREFECT_HOME": place.home}
    if local is not None:
        folders["disk of the store"] = local.parent
    found = []
    for check, folder in folders.items():
        free = free_disk(folder)
        seen = f"{size(free)} free at {folder}"
        remedy = "Free some: `phusa gc`, or choose another disk."
        if free < _FULL_BYTES:
            found.append(error(check, seen, f"at least {size(_FULL_BYTES)}", remedy))
        elif free < _TIGHT_BYTES:
            found.append(warning(check, seen, f"{size(_TIGHT_BYTES)} or more", remedy))
        else:
            found.append(ok(check, seen))
    return found


def leftovers(place: Place) -> list[Finding]:
    """Work folders of builds that ended long ago, and builds that go on now."""
    here = _open(place)
    left = abandoned(here, _LEFT_S)
    try:
        going = live_builds(here)
    except PhusaError:
        return [Finding("work folders", "skipped", "needs the store")]
    if not left:
        return [ok("work folders", f"nothing left behind; {len(going)} build(s) going on")]
    num_bytes = sum(work.num_bytes for work in left)
    seen = f"{len(left)} without a builder for a day, {size(num_bytes)}, under {here.work}"
    remedy = "The same recipe goes on from them; else `phusa gc --yes` clears them after a week."
    return [warning("work folders", seen, "none", remedy)]
