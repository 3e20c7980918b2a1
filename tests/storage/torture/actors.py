"""What the actors of the world do: the same calls in the same order as the flows and commands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from flows import promotion
from storage import layout
from storage.gc import collect
from storage.manifest import CheckResult, CodeRef, InputRef, Manifest, RunRef
from storage.sealing import Draft, bury, commit, find_quarantined, quarantine, release
from storage.store import Store
from storage.verify import verify
from storage.workspace import Workspace
from tests.storage.torture.world import Actor

ABOVE = {"base": None, "mid": "base", "top": "mid"}
RECIPE = "demo"
ALIAS = "prod"
_FAILED = CheckResult(
    measure="size",
    value=1,
    last=None,
    bounds={"min": 2},
    severity="block",
    passed=False,
    says="too small",
)

Work = Callable[[Actor], Any]


@dataclass(frozen=True)
class Build:
    """A stage of a run: of which artifact, and how."""

    name: str
    key: int = 0
    forced: bool = False
    fails: bool = False
    """It fails a check and goes to quarantine."""
    odd: bool = False
    """It is not deterministic: other bytes each time."""
    old: bool = False
    """Of the oldest input, as a recipe may name it, not of the newest."""
    unheld: bool = False
    """Neither lock nor lease reach it."""


def texts(name: str, fingerprint: str) -> dict[str, str]:
    """The files of a fingerprint; one of them is empty."""
    return {"empty.txt": "", "part/a.txt": f"{name} of {fingerprint}", "part/b.txt": fingerprint}


def fingerprint(build: Build, above: Manifest | None) -> str:
    return f"{build.name}-{build.key}" + (f"-{above.digest[:16]}" if above else "")


def builder(build: Build) -> Work:
    """As `run_stage`: reuse, or hold the build, look again, release or build and seal."""

    def work(actor: Actor) -> Manifest | None:
        store, upper = actor.store, ABOVE[build.name]
        above = None if upper is None else _input(store, upper, build.old)
        key = fingerprint(build, above)
        hit = None if build.forced else store.find(build.name, key)
        if hit is not None:
            return hit
        uses = [] if above is None else [above.label]
        if build.unheld:
            folder = store.work / actor.name
            return _make(actor, Workspace(folder), build, key, above)
        with store.building(build.name, key, uses) as workspace:
            enter(actor, uses)
            hit = None if build.forced else store.find(build.name, key)
            if hit is not None:
                return hit
            held = None if build.forced else find_quarantined(store, key)
            if held is not None and not build.fails:
                return release(store, held, ())
            return _make(actor, workspace, build, key, above)

    return work


def _input(store: Store, name: str, old: bool) -> Manifest:
    versions = store.versions(name) if old else []
    return store.resolve(f"{name}@{versions[0]}" if versions else name, RECIPE)


def _make(
    actor: Actor, workspace: Workspace, build: Build, key: str, above: Manifest | None
) -> Manifest | None:
    if above is not None and read(actor, above) is None and actor.reads:
        actor.world.gone.append((actor.name, above.label))
    for path, text in texts(build.name, key).items():
        if workspace.entry(path) is None:
            with workspace.writing(path) as stream:
                stream.write(f"{text}{actor.name if build.odd and text else ''}".encode())
    return _seal(actor.store, workspace, build, key, above)


def enter(actor: Actor, uses: list[str]) -> None:
    """From now on gc must leave these and their ancestors alone."""
    tombs = [label for label in uses if _is_gone(actor, label)]
    if tombs:
        actor.world.violate(f"{actor.name} began to build with {tombs}, which are gone")
    actor.reads = tuple(uses)


def _is_gone(actor: Actor, label: str) -> bool:
    name, _, version = label.partition("@")
    buried = actor.world.raw.read(layout.tombstone_key(name, version))
    return buried is not None and b"takedown" not in buried


def read(actor: Actor, manifest: Manifest) -> dict[str, bytes] | None:
    """Every file of an artifact; None where the artifact went meanwhile."""
    found = {}
    for entry in manifest.files:
        key = f"{layout.data_key(manifest.name, manifest.version)}/{entry.path}"
        try:
            found[entry.path] = b"".join(actor.store.backend.chunks(key))
        except FileNotFoundError:
            return None
    return found


def _seal(
    store: Store, workspace: Workspace, build: Build, key: str, above: Manifest | None
) -> Manifest | None:
    inputs = {}
    if above is not None:
        inputs[above.name] = InputRef(name=above.name, version=above.version, digest=above.digest)
    draft = Draft(
        name=build.name,
        stage=build.name,
        type="",
        fingerprint=key,
        config={},
        inputs=inputs,
        rows_in=0,
        rows_out=0,
        stats={},
        code=CodeRef(stage_version=1, source_sha256="0"),
        run=RunRef(recipe=RECIPE, host="torture"),
        checks=(_FAILED,) if build.fails else (),
    )
    if build.fails:
        quarantine(store, workspace, draft)
        return None
    return commit(store, workspace, draft, replace=build.forced)


def collector(keep: int) -> Work:
    """`phusa gc --yes`, and it takes dead attempts at once."""
    return lambda actor: collect(actor.store, keep, timedelta(0))


def promoter(name: str, index: int | None) -> Work:
    """Let the alias mean one of the versions, by age, or the newest that is whole."""

    def work(actor: Actor) -> None:
        versions = actor.store.versions(name) if index is not None else []
        wanted = versions[index % len(versions)] if versions else "latest"
        promotion.promote(actor.store, f"{name}@{wanted}", ALIAS)

    return work


def roller(name: str) -> Work:
    return lambda actor: promotion.rollback(actor.store, name, ALIAS)


def burier(name: str, index: int | None) -> Work:
    """A takedown: content goes, whoever needs it."""

    def work(actor: Actor) -> None:
        versions = actor.store.versions(name)
        if versions:
            bury(actor.store, name, versions[(index or 0) % len(versions)], "takedown")

    return work


def reader(name: str) -> Work:
    """What it finds it can read, or it went since."""

    def work(actor: Actor) -> None:
        store, world = actor.store, actor.world
        held = store.aliases.read().holder(name, ALIAS)
        found = [store.manifest(name, held)] if held is not None else []
        newest = store.latest(name, RECIPE)
        found += [newest] if newest is not None else []
        found += [hit for m in store.manifests() if (hit := store.find(m.name, m.fingerprint))]
        for manifest in found:
            files = read(actor, manifest)
            if files is None:
                gone = layout.tombstone_key(manifest.name, manifest.version)
                if store.backend.read(gone) is None:
                    world.gone.append((actor.name, manifest.label))
            else:
                world.seen.append((actor.name, manifest, files))

    return work


def verifier(actor: Actor) -> None:
    """Whatever it reports has gone meanwhile, or was damaged by us."""
    for damage in verify(actor.store, deep=True):
        if not actor.failed:  # an answer that did not come is damage to it
            actor.world.gone.append((actor.name, damage.label))
