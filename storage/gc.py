"""Garbage collection: what may go, what it frees, and taking it without ever taking what is used.

Roots are the holders of aliases, the last N versions of each name and recipe, and what live builds
read; every ancestor of a root stays too. What is to go is first written beside the aliases, by
compare-and-swap, so that a promotion at the same moment sees it, or is seen; then all is looked at
once more, so that a build that began meanwhile, or has ended since, keeps its inputs; and what may
go still is doomed by a second compare-and-swap. From then on it goes, whoever is killed or sleeps.

On this machine, abandoned work folders and unused cached copies go too.
"""

from __future__ import annotations

import contextlib
import shutil
import stat
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from filelock import FileLock, Timeout

from storage import lease
from storage.aliases import Register
from storage.errors import PhusaError
from storage.layout import data_key, label_of
from storage.lineage import by_label, used, with_ancestors
from storage.manifest import Manifest, utc_now
from storage.sealing import bury, quarantined, withdraw
from storage.store import Store

GRACE = timedelta(days=1)
"""How old a version that was never sealed must be: younger ones may be on their way."""


@dataclass(frozen=True)
class Candidate:
    """One version that may go, and why."""

    name: str
    version: str
    why: str
    num_bytes: int
    sealed: bool

    @property
    def label(self) -> str:
        return f"{self.name}@{self.version}"


@dataclass(frozen=True)
class Collection:
    """What gc would take or took, and how many artifacts stay for which reason."""

    candidates: tuple[Candidate, ...]
    kept: Mapping[str, int]

    @property
    def num_bytes(self) -> int:
        return sum(candidate.num_bytes for candidate in self.candidates)


def plan_collection(store: Store, keep: int, grace: timedelta = GRACE) -> Collection:
    """What may go now; nothing is changed. `keep` versions of each name and recipe stay.

    Raises DamagedArtifact if the aliases or a manifest cannot be read: what they name is not known
    then, and nothing is safe to take.
    """
    return _plan(store, store.aliases.read(), keep, grace)


def collect(store: Store, keep: int, grace: timedelta = GRACE) -> Collection:
    """Take what may go. A kill at any moment leaves whole artifacts, and work for the next gc."""
    planned: list[Collection] = []
    run = uuid.uuid4().hex

    def choose(register: Register) -> Iterable[str]:
        planned.append(_plan(store, register, keep, grace))
        return [c.label for c in planned[-1].candidates if c.sealed]

    condemned = store.aliases.condemn(run, choose, stale=GRACE)
    try:
        doomed = store.aliases.doom(run, choose)
    except BaseException:  # interrupted, say: what it marked is to be of use again at once
        with contextlib.suppress(PhusaError, OSError):
            store.aliases.absolve(run, condemned)
        raise
    taken = [c for c in planned[-1].candidates if _take(store, c, doomed)]
    store.aliases.dropped(doomed)  # buried now, by us or before
    _empty_references(store)
    return Collection(tuple(taken), planned[-1].kept)


def _take(store: Store, candidate: Candidate, doomed: set[str]) -> bool:
    why = f"gc: {candidate.why}"
    if not candidate.sealed:
        return withdraw(store, candidate.name, candidate.version, why)  # unless it was sealed now
    if candidate.label not in doomed:
        return False  # it came up since the marks were set
    bury(store, candidate.name, candidate.version, why)
    return True


def _empty_references(store: Store) -> None:
    """Those of versions that are gone: whoever buried or published one was killed in between."""
    gone = {path.removesuffix(".json") for path in store.backend.sizes("tombstones")}
    paths = [path for path, size in store.backend.sizes("refs/recipes").items() if size]
    keys = [f"refs/recipes/{path}" for path in paths]
    for path, key, version in zip(paths, keys, store.backend.read_all(keys), strict=True):
        if version and label_of(version, path.partition("/")[0]).replace("@", "/") in gone:
            store.backend.swap(key, b"", version)


def _plan(store: Store, register: Register, keep: int, grace: timedelta) -> Collection:
    live = used(store)
    sealed = by_label(store)
    going = set(register.doomed)
    latest, damaged = _latest(store, (m for m in sealed.values() if m.label not in going), keep)
    roots = {"alias": register.held(), f"last {keep}": latest, "live build": live}
    kept: dict[str, int] = {}
    staying: set[str] = set()
    for why, labels in roots.items():
        kept[why] = len(labels.intersection(sealed) - staying)
        staying |= labels
    above = with_ancestors(store, staying, sealed) - staying
    kept["ancestor"] = len(above.intersection(sealed))
    staying |= above
    candidates = [
        Candidate(m.name, m.version, why, m.num_bytes, sealed=True)
        for m in sealed.values()
        for why in ("damaged" if m.label in damaged else f"older than the last {keep}",)
        if m.label not in staying or m.label in going
    ]
    candidates += [*_unfinished(store), *_unsealed(store, grace)]
    return Collection(tuple(sorted(candidates, key=lambda c: (c.name, c.version))), kept)


def _latest(store: Store, sealed: Iterable[Manifest], keep: int) -> tuple[set[str], set[str]]:
    """The last `keep` whole versions of each name and recipe, and damaged ones among them."""
    groups: dict[tuple[str, str], list[Manifest]] = {}
    for manifest in sealed:
        groups.setdefault((manifest.name, manifest.run.recipe), []).append(manifest)
    found, damaged = set[str](), set[str]()
    for manifests in groups.values():
        whole = 0
        for manifest in sorted(manifests, key=lambda m: m.version, reverse=True):
            if whole == keep:
                break
            if store.is_whole(manifest):
                whole += 1
                found.add(manifest.label)
            else:
                damaged.add(manifest.label)
    return found, damaged


def _unfinished(store: Store) -> Iterable[Candidate]:
    """Collections that were killed: a tombstone is there, and some of the data still is."""
    for path in store.backend.sizes("tombstones"):
        name, _, file = path.partition("/")
        version = file.removesuffix(".json")
        left = store.backend.sizes(data_key(name, version)).values()
        if left:  # an empty file is one, too
            why = "left by a gc that was killed"
            yield Candidate(name, version, why, sum(left), sealed=True)


def _unsealed(store: Store, grace: timedelta) -> Iterable[Candidate]:
    """Data of attempts that died before their manifest, and all but the newest in quarantine."""
    held = quarantined(store)
    newest = {(m.name, m.run.recipe): m.label for m in held}.values()
    oldest = utc_now() - grace
    for name in store.names():
        for version in store.unsealed(name):
            label = f"{name}@{version}"
            if label in newest or _made(version) > oldest:
                continue
            is_held = any(m.label == label for m in held)
            why = "older than the newest in quarantine" if is_held else "never sealed"
            size = sum(store.backend.sizes(data_key(name, version)).values())
            yield Candidate(name, version, why, size, sealed=False)


def _made(version: str) -> datetime:
    """When an attempt began, from its version; long ago for a folder that is no version."""
    try:
        return datetime.strptime(version[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)


# --- this machine --------------------------------------------------------------------------------


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
