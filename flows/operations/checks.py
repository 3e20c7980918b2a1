"""What a check of `phusa doctor` is, and those of this machine: packages, store, disks, GPU."""

from __future__ import annotations

import os
import platform
import shutil
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from flows.render import size
from flows.resources import free_disk
from storage.backends import Backend
from storage.errors import PhusaError
from storage.gc import abandoned, live_builds
from storage.store import Store

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

_INSTALL = "pip install --constraint constraints.txt --editable ."
# What was seen with Prefect 3.8.8.
_BREAKS = {
    "fastapi": "from 0.151 on `prefect deploy` is answered 422, from 0.155 on no server starts",
    "sqlalchemy": "from 2.1 on Prefect's schedules silently never fire",
}
_CPU_MODE = "Training on the CPU works; for the GPU install PyTorch's build for it (pytorch.org)."
_TIGHT_BYTES, _FULL_BYTES = 10_000_000_000, 1_000_000_000
_LEFT_S = 86_400.0
_CONNECT_S, _READ_S = 3.0, 5.0


@dataclass(frozen=True)
class Finding:
    """One line of the report. `expected` and `remedy` are empty where all is well."""

    check: str
    status: Literal["ok", "warning", "error", "skipped"]
    found: str
    expected: str = ""
    remedy: str = ""


def ok(check: str, found: str) -> Finding:
    return Finding(check, "ok", found)


def warning(check: str, found: str, expected: str, remedy: str) -> Finding:
    return Finding(check, "warning", found, expected, remedy)


def error(check: str, found: str, expected: str, remedy: str) -> Finding:
    return Finding(check, "error", found, expected, remedy)


@dataclass(frozen=True)
class Place:
    """What is examined. `client` is None where the Prefect API does not answer."""

    store: str | None
    home: Path
    api_url: str = ""
    client: SyncPrefectClient | None = None
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def api(self) -> SyncPrefectClient:
        assert self.client is not None, "checks of the server are skipped without one"
        return self.client


Check = Callable[[Place], list[Finding]]


# --- packages -------------------------------------------------------------------------------------


def python(place: Place) -> list[Finding]:
    """The interpreter's version, against what pyproject.toml asks for."""
    version = platform.python_version()
    wanted = metadata.metadata("phusa")["Requires-Python"] or ">=3.11"
    if SpecifierSet(wanted).contains(version, prereleases=True):
        return [ok("Python", version)]
    return [error("Python", version, wanted, "Make the virtual environment with a newer Python.")]


def packages(place: Place) -> list[Finding]:
    """Every package that phusa needs: there, and of a version in range."""
    wanted = [Requirement(line) for line in metadata.requires("phusa") or ()]
    wanted = [r for r in wanted if r.marker is None or r.marker.evaluate({"extra": ""})]
    found = [finding for requirement in wanted for finding in _package(requirement)]
    prefect = metadata.version("prefect")
    return found or [ok("packages", f"all {len(wanted)} in range, Prefect {prefect}")]


def _package(requirement: Requirement) -> list[Finding]:
    name = requirement.name
    check, expected = f"package {name}", f"{name}{requirement.specifier}"
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return [error(check, "not installed", expected, f"Run {_INSTALL}")]
    if requirement.specifier.contains(version, prereleases=True):
        return []
    why = _BREAKS.get(name.lower())
    remedy = f"Run pip install '{expected}'"
    if why is None:
        return [warning(check, version, expected, f"{remedy}, or {_INSTALL}")]
    return [error(check, f"{version}: {why}", expected, remedy)]


# --- the store ------------------------------------------------------------------------------------


@contextmanager
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


def _open(place: Place) -> Store:
    address = place.store or ".phusa"
    if not address.startswith("s3://"):
        return Store(address)
    from storage.backends.s3 import S3Backend

    backend = S3Backend(address, connect_timeout_s=_CONNECT_S, read_timeout_s=_READ_S)
    return Store(address, backend=backend)


def store(place: Place) -> list[Finding]:
    """Write, read and delete a probe, with the conditional writes that sealing stands on."""
    try:
        backend = _open(place).backend
        local = backend.local_path("probes")
        if local is not None and not local.parent.exists():
            return [_not_there_yet(local.parent)]
        faults = list(_probe(backend, f"probes/{uuid.uuid4().hex}"))
        if local is not None:
            with suppress(OSError):  # another doctor is at it
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
    parent = next(path for path in folder.parents if path.exists())
    if os.access(parent, os.W_OK):
        return ok("store", f"{folder} is not there yet; the first run makes it")
    remedy = "Give yourself the right to write there, or choose another with --store."
    return error("store", f"{parent} cannot be written", f"a place to make {folder}", remedy)


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
    return [_disk(check, folder) for check, folder in folders.items()]


def _disk(check: str, folder: Path) -> Finding:
    free = free_disk(folder)
    seen = f"{size(free)} free at {folder}"
    remedy = "Free some: `phusa gc`, or choose another disk."
    if free < _FULL_BYTES:
        return error(check, seen, f"at least {size(_FULL_BYTES)}", remedy)
    if free < _TIGHT_BYTES:
        return warning(check, seen, f"{size(_TIGHT_BYTES)} or more", remedy)
    return ok(check, seen)


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


# --- the GPU --------------------------------------------------------------------------------------


def gpu(place: Place) -> list[Finding]:
    """Devices with their free memory; a driver that is there while PyTorch cannot use it."""
    import torch

    has_driver = shutil.which("nvidia-smi") is not None
    build = f"torch {torch.__version__}"
    none = [ok("GPU", f"none; {build} trains on the CPU")]
    if torch.version.cuda is None and torch.version.hip is None:
        seen = f"an NVIDIA driver, and {build}, a build for the CPU"
        too_plain = [warning("GPU", seen, "a build of torch for CUDA", _CPU_MODE)]
        return too_plain if has_driver else none
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count:
        return [_device(index) for index in range(count)]
    if not has_driver:
        return none
    why = "; ".join(" ".join(str(one.message).split()) for one in said)
    remedy = "Does nvidia-smi work? The driver must be as new as torch's CUDA, or newer."
    seen = f"an NVIDIA driver, and no device that {build} can use. {why}".strip()
    return [error("GPU", seen, "at least one device", remedy)]


def _device(index: int) -> Finding:
    import torch

    name = torch.cuda.get_device_name(index)
    try:
        free, total = torch.cuda.mem_get_info(index)
    except RuntimeError as problem:
        remedy = "Look at nvidia-smi: the device may be taken whole, or have fallen off the bus."
        return error(f"GPU {index}", f"{name}: {problem}", "a device that answers", remedy)
    seen = f"{name}, {size(free)} of {size(total)} free"
    if free < total / 2:
        remedy = "nvidia-smi shows whose it is; a run that died may still hold it."
        return warning(f"GPU {index}", seen, "most of its memory free", remedy)
    return ok(f"GPU {index}", seen)
