"""The commit: data, checks, manifest, reference, in this order, so that a kill between any two
leaves nothing half-done visible and nothing sealed lost. docs/storage.md gives each step's reason.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from pydantic import JsonValue

from storage import layout
from storage.aliases import Register
from storage.errors import DamagedArtifact, RequestError, StoreUnreachable, UnknownArtifact
from storage.lineage import by_label, used, with_ancestors
from storage.manifest import (
    MANIFEST_SCHEMA,
    CheckResult,
    CodeRef,
    InputRef,
    Manifest,
    RunRef,
    content_digest,
    is_withdrawn,
    utc_now,
    withdrawn,
)
from storage.store import Store
from storage.workspace import Workspace


@dataclass(frozen=True)
class Draft:
    """Everything about an artifact but its files and its version."""

    name: str
    stage: str
    type: str
    fingerprint: str
    config: Mapping[str, JsonValue]
    inputs: Mapping[str, InputRef]
    rows_in: int
    rows_out: int
    stats: Mapping[str, JsonValue]
    code: CodeRef
    run: RunRef
    checks: tuple[CheckResult, ...] = ()
    forgotten: tuple[str, ...] = ()
    place: datetime | None = None
    """Where its version stands among the others, if not at the time of the commit."""


def commit(store: Store, workspace: Workspace, draft: Draft, *, replace: bool = False) -> Manifest:
    """Seal the workspace's finished files as a new version and drop the workspace.

    `replace` swaps the reference even if another whole version holds it (a forced rebuild);
    otherwise that version is adopted and returned. Raises StoreUnreachable if the store does not
    hold what it was given.
    """
    while True:
        manifest = _manifest_of(workspace, draft)
        winner = None if replace else store.find(draft.stage, draft.fingerprint)
        if winner is not None:
            break
        key = layout.manifest_key(manifest.name, manifest.version)
        if _put_data(store, workspace, manifest) and store.backend.create(key, manifest.to_json()):
            winner = _publish(store, manifest, replace)
            if winner is not None:
                break
        # gc took this attempt for a dead one, or what it had just sealed: on under another version.
        _clear_claimed(store, manifest)
    shutil.rmtree(workspace.root, ignore_errors=True)
    return winner


def quarantine(store: Store, workspace: Workspace, draft: Draft) -> Manifest:
    """Keep a build that failed a blocking check where it can be looked at and is never an input."""
    while True:
        manifest = _manifest_of(workspace, draft)
        key = layout.quarantine_key(manifest.name, manifest.version)
        if _put_data(store, workspace, manifest):
            store.backend.create(key, manifest.to_json())
            if not _is_claimed(store, manifest.name, manifest.version):
                break
        store.backend.delete(key)
        _clear_claimed(store, manifest)
    shutil.rmtree(workspace.root, ignore_errors=True)
    return manifest


def quarantined(store: Store, name: str | None = None) -> list[Manifest]:
    """The builds in quarantine, by name, then oldest first; unreadable ones are left out."""
    paths = sorted(store.backend.sizes("quarantine"))
    keys = [f"quarantine/{path}" for path in paths if name in (None, path.partition("/")[0])]
    found = []
    for key, data in zip(keys, store.backend.read_all(keys), strict=True):
        with contextlib.suppress(DamagedArtifact):
            found.append(Manifest.parse(data or b"", key))
    return [manifest for manifest in found if manifest is not None]


def find_quarantined(store: Store, fingerprint: str) -> Manifest | None:
    """The newest whole build of this fingerprint that is in quarantine, for whichever instance."""
    builds = [m for m in quarantined(store) if m.fingerprint == fingerprint]
    newest_first = sorted(builds, key=lambda m: m.version, reverse=True)
    return next((m for m in newest_first if store.is_whole(m)), None)


def release(store: Store, held: Manifest, checks: Iterable[CheckResult]) -> Manifest:
    """Seal a build from quarantine whose checks hold after all; nothing is built or copied.

    One that was sealed already, by a run that was killed before it was done, stays as it is.
    Raises DamagedArtifact if gc took it at this very moment.
    """
    now = {"checks": tuple(checks), "schema_version": MANIFEST_SCHEMA}
    manifest = held.model_copy(update=now)
    key = layout.manifest_key(manifest.name, manifest.version)
    if not store.backend.create(key, manifest.to_json()):
        try:
            manifest = store.manifest(held.name, held.version)
        except UnknownArtifact as error:
            raise _taken_by_gc(held) from error
    sealed = _publish(store, manifest, replace=False)
    if sealed is None:
        raise _taken_by_gc(held)
    store.backend.delete(layout.quarantine_key(held.name, held.version))
    return sealed


def _taken_by_gc(held: Manifest) -> DamagedArtifact:
    return DamagedArtifact(
        f"{held.label} was taken by gc at this moment; expected to seal it. Run the same command "
        "again: it builds it anew."
    )


def withdraw(store: Store, name: str, version: str, why: str) -> bool:
    """Claim a version that was never sealed, for good; False if it is sealed.

    The manifest is create-only: either its build gets there first, or this does, and then the
    build can never seal it, however long it slept.
    """
    key = layout.manifest_key(name, version)
    if not store.backend.create(key, withdrawn(why)) and not _is_claimed(store, name, version):
        return False
    bury(store, name, version, why)
    return True


def bury(store: Store, name: str, version: str, why: str) -> None:
    """Take a version out of sight, then its reference, then its data; the manifest stays.

    A kill between two steps leaves a tombstone with data, which the next gc finishes. A reference
    is emptied, not removed: only that can be done on the condition that it is still this version's.
    """
    stone = {"why": why, "at": utc_now().isoformat()}
    store.backend.create(layout.tombstone_key(name, version), json.dumps(stone).encode())
    with contextlib.suppress(UnknownArtifact, DamagedArtifact):
        taken = store.manifest(name, version)
        key = layout.recipe_key(taken.stage, taken.fingerprint)
        store.backend.swap(key, b"", taken.reference)
    store.backend.delete(layout.quarantine_key(name, version))
    store.backend.delete(layout.data_key(name, version))


def _put_data(store: Store, workspace: Workspace, manifest: Manifest) -> bool:
    """Whether the data lies there, whole; False if gc claimed the version meanwhile."""
    data = layout.data_key(manifest.name, manifest.version)
    try:
        for entry in manifest.files:
            store.backend.put_file(f"{data}/{entry.path}", workspace.data / entry.path)
    except FileNotFoundError:  # on a disk gc may take the folder away under it
        if _is_claimed(store, manifest.name, manifest.version):
            return False
        raise
    lost = store.damage(manifest)  # one listing: a store may say yes and keep half
    if lost:
        if _is_claimed(store, manifest.name, manifest.version):
            return False
        store.backend.delete(data)
        raise StoreUnreachable(
            f"{store.address} did not keep what it was given ({'; '.join(lost[:3])}); expected "
            f"{len(manifest.files)} whole files. Nothing was sealed. Look after the store, then "
            "run the same command again: it goes on where it stopped."
        )
    if store.backend.local_path(data) is None:
        for entry in manifest.files:
            store.cache.keep(entry, workspace.data / entry.path)
    return True


def _is_claimed(store: Store, name: str, version: str) -> bool:
    """Whether gc withdrew the version before its build could seal it."""
    present = store.backend.read(layout.manifest_key(name, version))
    return present is not None and is_withdrawn(present)


def _clear_claimed(store: Store, manifest: Manifest) -> None:
    """Remove what was put since gc took it all."""
    if _is_claimed(store, manifest.name, manifest.version):
        store.backend.delete(layout.data_key(manifest.name, manifest.version))


def _publish(store: Store, manifest: Manifest, replace: bool) -> Manifest | None:
    """Point the recipe's reference at `manifest`, or adopt the version that won.

    The loser of a race is buried if the winner holds the same content, as it should; another
    content, which a stage that is not deterministic gives, is kept to be looked at. None if gc took
    the version before the reference named it.
    """
    key = layout.recipe_key(manifest.stage, manifest.fingerprint)
    while True:
        present = store.backend.read(key)
        winner = store.find(manifest.stage, manifest.fingerprint) if present else None
        if winner is not None and not replace and _yields(store, manifest, winner):
            return winner
        if store.backend.swap(key, manifest.reference, present):
            break
    if store.backend.read(layout.tombstone_key(manifest.name, manifest.version)) is None:
        return manifest  # whoever buries it from now on finds the reference, and empties it
    store.backend.swap(key, b"", manifest.reference)
    return None


def _yields(store: Store, loser: Manifest, winner: Manifest) -> bool:
    """Leave the reference to the winner, and bury the loser if it holds the same.

    False if gc is taking the winner, or something leans on the loser already: it takes the
    reference then. Decided beside the aliases, as by gc, so that never both go.
    """
    if winner.label == loser.label or winner.digest != loser.digest:
        return True
    run = uuid.uuid4().hex

    def choose(register: Register) -> list[str]:
        labels = {*register.held(), *used(store)}
        try:
            everything = by_label(store)
        except (DamagedArtifact, RequestError):  # what leans on the loser cannot be known
            return []
        others = everything.keys() - {loser.label}
        needed = loser.label in with_ancestors(store, labels | others, everything)
        stays = winner.label not in register.going() and store.is_whole(winner)
        return [loser.label] if stays and not needed else []

    if not store.aliases.condemn(run, choose) or loser.label not in store.aliases.doom(run, choose):
        return False
    same = f"the same content as {winner.label}, which was sealed first"
    bury(store, loser.name, loser.version, same)
    store.aliases.dropped({loser.label})
    return True


def _manifest_of(workspace: Workspace, draft: Draft) -> Manifest:
    created = utc_now()
    files = tuple(workspace.entries())
    said = {name: value for name, value in vars(draft).items() if name != "place"}
    return Manifest(
        **said,
        version=new_version(draft.place or created),
        digest=content_digest(files),
        files=files,
        created=created,
        seconds=round(workspace.seconds(), 3),
    )


def new_version(created: datetime) -> str:
    """Unique per attempt, and sorted by time: `20261121-021530-123-9f3a`."""
    return f"{created:%Y%m%d-%H%M%S}-{created.microsecond // 1000:03d}-{secrets.token_hex(2)}"
