"""Promotion: an alias moves to a version only if it is sound, and no worse than its holder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from flows.stages import STAGES, inputs_by
from storage import takedown
from storage.aliases import check_alias
from storage.errors import DamagedArtifact, Fault, RequestError, UnknownArtifact
from storage.lineage import ancestors
from storage.manifest import Manifest
from storage.store import Store
from tasks.artifacts.documents import DOCUMENTS
from tasks.artifacts.sequences import SEQUENCES


@dataclass(frozen=True)
class Promoted:
    """What came of it. `notes` say what a person should know of the comparison."""

    label: str
    alias: str
    before: str | None
    notes: tuple[str, ...]


def promote(store: Store, reference: str, alias: str, override: str | None = None) -> Promoted:
    """Let `alias` mean the artifact.

    Raises RequestError, with all reasons at once, if a check of it does not hold, it has seen
    content that was taken down, or it scores worse than the present holder; `override` says why
    that is to be passed over, and is kept in the history. Damage is never passed over.
    """
    check_alias(alias)
    manifest = store.resolve(reference)
    faults, notes = _judge(store, manifest, alias)
    if faults and not override:
        raise RequestError(faults)
    return _promote(store, manifest, alias, override, notes)


def promote_together(store: Store, references: Sequence[str], alias: str) -> list[Promoted]:
    """Let `alias` mean all of these artifacts, or none of them; those that it means stay.

    Returns what moved; without an alias, nothing. Raises RequestError as `promote` does, with the
    reasons of all at once.
    """
    if not alias:
        return []
    check_alias(alias)
    register = store.aliases.read()
    manifests = [store.resolve(reference) for reference in references]
    moving = [m for m in manifests if register.holder(m.name, alias) != m.version]
    judged = [(manifest, *_judge(store, manifest, alias)) for manifest in moving]
    faults = [fault for _, found, _ in judged for fault in found]
    if faults:
        raise RequestError(faults)
    return [_promote(store, manifest, alias, None, notes) for manifest, _, notes in judged]


def _judge(store: Store, manifest: Manifest, alias: str) -> tuple[list[Fault], list[str]]:
    """Give all that speaks against it, and what is to be known."""
    faults, notes = _compare(manifest, _holder(store, manifest.name, alias), alias)
    return faults + _unsound(store, manifest), notes


def _promote(
    store: Store, manifest: Manifest, alias: str, override: str | None, notes: Sequence[str]
) -> Promoted:
    holder = _holder(store, manifest.name, alias)

    def whole() -> set[str]:
        if not store.is_whole(manifest):
            lines = "; ".join(store.damage(manifest)) or "it was collected"
            raise DamagedArtifact(
                f"{manifest.label} is not whole ({lines}); expected all its files. Promote another "
                "version, or run the stage again with --force."
            )
        return {node.label for _, node in ancestors(store, manifest).walk()}

    store.aliases.promote(manifest.name, manifest.version, alias, override or "", whole)
    before = None if holder is None else holder.label
    return Promoted(manifest.label, alias, before, tuple(notes))


def rollback(store: Store, name: str, alias: str) -> str:
    """Let `alias` mean what it meant before; returns that version. Raises UnknownArtifact."""

    def whole(version: str) -> bool:
        try:
            return store.is_whole(store.manifest(name, version))
        except (UnknownArtifact, DamagedArtifact):
            return False

    return store.aliases.rollback(name, alias, whole)


def _holder(store: Store, name: str, alias: str) -> Manifest | None:
    version = store.aliases.read().holder(name, alias)
    try:
        return None if version is None else store.manifest(name, version)
    except (UnknownArtifact, DamagedArtifact):  # nothing is left to compare with
        return None


def _unsound(store: Store, manifest: Manifest) -> list[Fault]:
    faults = [
        Fault(
            manifest.label,
            f"a check that does not hold: {check.says.partition('. ')[0]}",
            "all its checks to hold",
            _OVERRIDE,
            "check_failed",
        )
        for check in manifest.checks
        if not check.passed
    ]
    return faults + [
        Fault(
            manifest.label,
            f"a mark that it has seen content that was taken down, {mark.rule}",
            "one that has not",
            "Run the recipe again and promote what it makes. " + _OVERRIDE,
            "taken_down",
        )
        for mark in takedown.marks(store.backend, manifest)
    ]


_OVERRIDE = '--override "why" passes over it; the reason is kept.'


def _compare(
    manifest: Manifest, holder: Manifest | None, alias: str
) -> tuple[list[Fault], list[str]]:
    """Give what speaks against it beside the present holder, and what is to be known."""
    stage = STAGES.get(manifest.stage)
    score = stage.score if stage else None
    if holder is None or holder.version == manifest.version:
        return [], []
    made_by = holder.run.recipe, manifest.run.recipe
    notes = [f"`{alias}` goes from recipe {made_by[0]} to {made_by[1]}"] * (len({*made_by}) > 1)
    if score is None:
        return [], notes
    if holder.stage != manifest.stage:
        notes.append(f"not compared with {holder.label}: it was made by the stage {holder.stage}")
        return [], notes
    new, old = _score(manifest, score), _score(holder, score)
    notes.append(f"{score}: {_text(new)}, {holder.label} has {_text(old)}")
    if _held_out(manifest) != _held_out(holder):
        notes.append("the two were measured on held-out sets of different inputs")
    if new <= old:
        return [], notes
    found = f"{score} {_text(new)}"
    expected = f"at most {_text(old)}, as {holder.label} has, which is `{alias}` now"
    return [Fault(manifest.label, found, expected, _OVERRIDE, "worse_score")], notes


def _score(manifest: Manifest, name: str) -> float:
    """Read the stat by which versions are compared; one that is missing is worse than any."""
    value = manifest.stats.get(name)
    return float(value) if isinstance(value, int | float) else math.inf


def _text(score: float) -> str:
    return "unknown" if math.isinf(score) else f"{score:.4f}"


def _held_out(manifest: Manifest) -> list[str]:
    """Give the digests of what the held-out set was drawn from."""
    stage = STAGES.get(manifest.stage)
    ports = [p.name for p in stage.ports if p.type in (SEQUENCES, DOCUMENTS)] if stage else []
    return [reference.digest for port in ports for reference in inputs_by(manifest, port)]
