"""Garbage collection: what may go, what it frees, and taking it without ever taking what is used.

Roots are the holders of aliases, the last N versions of each name and recipe, and what live builds
read; every ancestor of a root stays too. What is to go is first written beside the aliases, by
compare-and-swap, so that a promotion at the same moment sees it, or is seen; then the leases are
read once more, so that a build that began meanwhile keeps its inputs.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from storage import lease
from storage.aliases import Register
from storage.errors import PhusaError
from storage.layout import data_key
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
    spared = condemned & _with_ancestors(store, _used(store), _by_label(store))
    taken = [c for c in planned[-1].candidates if c.label not in spared and _take(store, c)]
    store.aliases.absolve(run, condemned)
    return Collection(tuple(taken), planned[-1].kept)


def _take(store: Store, candidate: Candidate) -> bool:
    why = f"gc: {candidate.why}"
    if not candidate.sealed:
        return withdraw(store, candidate.name, candidate.version, why)  # unless it was sealed now
    bury(store, candidate.name, candidate.version, why)
    return True


def _plan(store: Store, register: Register, keep: int, grace: timedelta) -> Collection:
    sealed = _by_label(store)
    latest, damaged = _latest(store, sealed.values(), keep)
    roots = {
        "alias": register.held(),
        f"last {keep}": latest,
        "live build": _used(store),
    }
    kept: dict[str, int] = {}
    staying: set[str] = set()
    for why, labels in roots.items():
        kept[why] = len(labels.intersection(sealed) - staying)
        staying |= labels
    above = _with_ancestors(store, staying, sealed) - staying
    kept["ancestor"] = len(above.intersection(sealed))
    staying |= above
    candidates = [
        Candidate(m.name, m.version, why, m.num_bytes, sealed=True)
        for m in sealed.values()
        for why in ("damaged" if m.label in damaged else f"older than the last {keep}",)
        if m.label not in staying
    ]
    candidates += [*_unfinished(store), *_unsealed(store, grace)]
    return Collection(tuple(sorted(candidates, key=lambda c: (c.name, c.version))), kept)


def _by_label(store: Store) -> dict[str, Manifest]:
    found = {}
    for manifest in store.scan():
        if isinstance(manifest, PhusaError):
            raise manifest  # its inputs are not known, and could be taken from under it
        found[manifest.label] = manifest
    return found


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


def _used(store: Store) -> set[str]:
    """What live builds read."""
    return {label for held in lease.live(store.backend).values() for label in held.uses}


def _with_ancestors(
    store: Store, labels: Iterable[str], sealed: Mapping[str, Manifest]
) -> set[str]:
    """`labels` and all they were made from, through versions that are gone themselves too."""
    found: set[str] = set()
    waiting = list(labels)
    while waiting:
        label = waiting.pop()
        if label not in found:
            found.add(label)
            name, _, version = label.partition("@")
            try:
                manifest = sealed.get(label) or store.manifest(name, version)
            except PhusaError:  # nothing is left of it that could be asked
                continue
            waiting += [reference.label for reference in manifest.inputs.values()]
    return found


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
