"""What there is in a store, in every state: sealed, in quarantine, damaged, gone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from storage import takedown
from storage.aliases import Register
from storage.errors import PhusaError, UnknownArtifact
from storage.layout import data_key, tombstone_key
from storage.manifest import Manifest
from storage.sealing import quarantined
from storage.store import Reference, Store, ambiguous
from storage.takedown import Mark

State = Literal["sealed", "quarantined", "damaged", "gone"]


@dataclass(frozen=True)
class Listed:
    """One line of the list. `problem` says what is wrong, why it is held, or why it is gone."""

    name: str
    version: str
    state: State
    manifest: Manifest | None
    aliases: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Described:
    """One artifact with all that is known of it beside its manifest."""

    manifest: Manifest
    state: State
    problem: str
    aliases: tuple[str, ...]
    marks: tuple[Mark, ...]
    folder: str


def list_artifacts(store: Store, name: str | None = None, *, gone: bool = False) -> list[Listed]:
    """List what there is of that name (RECIPE/NAME: of that recipe alone), or of all, by name, then
    oldest first.

    Files are not looked at. Raises UnknownArtifact if there never was one of that name.
    """
    given, asked = name, None if name is None else Reference.parse(name)
    name = asked and asked.name
    register = store.aliases.read()
    found = list(_sealed(store, register, name))
    sealed = {(one.name, one.version) for one in found}  # a run was killed releasing one
    held = (m for m in quarantined(store, name) if (m.name, m.version) not in sealed)
    found += map(_in_quarantine, held)
    if gone:
        found += _gone(store, name)
    if asked is not None and not found and asked.name not in store.names():
        store.resolve(str(given))  # raises, with the name that may be meant
    if asked and asked.recipe:
        found = [one for one in found if one.manifest and asked.admits(one.manifest)]
    return sorted(found, key=lambda one: (one.name, one.version))


def describe(store: Store, reference: str) -> Described:
    """Find the artifact that a reference names, also one in quarantine or one that is gone.

    A bare name means the newest, in quarantine or not. Raises UnknownArtifact, and RequestError
    where it means artifacts of several recipes.
    """
    asked = recipe, name, wanted = Reference.parse(reference)
    held = [m for m in quarantined(store, name) if m.version.startswith(wanted) and asked.admits(m)]
    if held and not wanted and not recipe:
        recipes = {m.run.recipe: m for m in held} | store.recipes(name)
        if len(recipes) > 1:
            raise ambiguous(name, recipes)
    manifest = _of_sealed(store, reference)
    if held and (manifest is None or (not wanted and held[-1].version > manifest.version)):
        return _describe(store, held[-1], "quarantined", _failed(held[-1]))
    if manifest is None:
        matches = [v for v in store.versions(name) if wanted and v.startswith(wanted)]
        gone = list(_gone(store, name, wanted)) if wanted and not matches else []
        gone = [one for one in gone if one.manifest and asked.admits(one.manifest)]
        if len(gone) != 1 or gone[0].manifest is None:
            store.resolve(reference)  # raises, with all that is known
            raise AssertionError("a reference that is not resolved raises")
        return _describe(store, gone[0].manifest, "gone", gone[0].problem)
    damage = "; ".join(store.damage(manifest))
    return _describe(store, manifest, "damaged" if damage else "sealed", damage)


def _of_sealed(store: Store, reference: str) -> Manifest | None:
    try:
        return store.resolve(reference)
    except UnknownArtifact:
        return None


def _describe(store: Store, manifest: Manifest, state: State, problem: str) -> Described:
    key = data_key(manifest.name, manifest.version)
    local = store.backend.local_path(key)
    aliases = store.aliases.read().of(manifest.name, manifest.version)
    marks = takedown.marks(store.backend, manifest)
    folder = str(local) if local is not None else f"{store.address}/{key}"
    return Described(manifest, state, problem, tuple(aliases), tuple(marks), folder)


def _sealed(store: Store, register: Register, name: str | None) -> Iterator[Listed]:
    for each in store.names() if name is None else [name]:
        for version, found in store.scan_versions(each):
            if isinstance(found, PhusaError):
                yield Listed(each, version, "damaged", None, problem=str(found))
            elif found is not None:
                aliases = tuple(register.of(each, version))
                yield Listed(each, version, "sealed", found, aliases)


def _in_quarantine(manifest: Manifest) -> Listed:
    name, version = manifest.name, manifest.version
    return Listed(name, version, "quarantined", manifest, problem=_failed(manifest))


def _failed(manifest: Manifest) -> str:
    says = (c.says for c in manifest.checks if c.severity == "block" and not c.passed)
    return "; ".join(says)


def _gone(store: Store, name: str | None, wanted: str = "") -> Iterator[Listed]:
    """List what was sealed once and has no data any more, of versions that begin so."""
    for path in store.backend.sizes("tombstones"):
        each, _, file = path.partition("/")
        version = file.removesuffix(".json")
        if name not in (None, each) or not version.startswith(wanted):
            continue
        try:
            manifest = store.manifest(each, version)
        except PhusaError:  # it was never sealed
            continue
        yield Listed(each, version, "gone", manifest, problem=_epitaph(store, each, version))


def _epitaph(store: Store, name: str, version: str) -> str:
    try:
        stone = json.loads(store.backend.read(tombstone_key(name, version)) or b"")
        return f"{stone['why']} ({stone['at'][:19]})"
    except (ValueError, KeyError, TypeError):
        return "for a reason that cannot be read"
