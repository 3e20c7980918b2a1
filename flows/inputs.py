"""From references to the artifacts that a stage is made from: versions, resolved once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flows.stages import STAGES, inputs_by, type_of
from storage.errors import Fault, RequestError
from storage.manifest import Manifest
from storage.store import Store
from tasks.config import Config
from tasks.stage import Port, Stage

Given = Mapping[str, tuple[Manifest, ...]]
"""Artifacts by the port that they are given to."""


def record(stage: Stage, given: Given) -> dict[str, Manifest]:
    """Give inputs the names that manifests and fingerprints know them by."""
    return {
        key: manifest
        for port in stage.ports
        for found in [given.get(port.name, ())]
        for key, manifest in zip(port.keys(len(found)), found, strict=False)
    }


def resolve(store: Store, port: Port, reference: str, recipe: str, where: str) -> Manifest:
    """Find the artifact that a reference means; a bare name is the newest that `recipe` made.

    Raises RequestError if there is none, or if it cannot be given to the port.
    """
    manifest = store.resolve(reference, recipe if "@" not in reference else None, near=recipe)
    if not type_of(manifest).serves(port.type):
        found = f"{manifest.label}, which is {type_of(manifest).name}"
        remedy = f"`phusa artifacts` lists all; name one that is {port.type.name}."
        raise RequestError(Fault(where, found, port.type.name, remedy, "wrong_artifact"))
    return manifest


def named_by_knobs(store: Store, stage: Stage, config: Config, recipe: str, where: str) -> Given:
    """Find the artifacts that a stage's knobs name themselves, by port, oldest first.

    Each comes after all that it was given itself by the same port. A knob has recipes, whose newest
    artifact of this stage is meant, or NAME@VERSION. `recipe` is the one that asks: it cannot mean
    itself, for its next run would find all that it made, and keep nothing. Raises RequestError,
    with all faults at once, if one is not there.
    """
    given: dict[str, tuple[Manifest, ...]] = {}
    faults: list[Fault] = []
    for port in stage.ports:
        references: tuple[str, ...] = dict(config)[port.name] if port.names else ()
        found: dict[str, Manifest] = {}
        for reference in references:
            place = f"{where}.{port.name}"
            try:
                _add(store, port, _named(store, stage, port, reference, recipe, place), found)
            except RequestError as error:
                faults += error.faults
        if port.names:
            given[port.name] = tuple(found.values())
    if faults:
        raise RequestError(faults)
    return given


def _named(
    store: Store, stage: Stage, port: Port, reference: str, recipe: str, where: str
) -> Manifest:
    if reference == recipe:
        remedy = f"Give each increment a name of its own: --set name=crawl-2 --set {where}=…"
        found, expected = f"{reference}, this recipe itself", "the name of an earlier recipe"
        raise RequestError(Fault(where, found, expected, remedy, "itself"))
    if "@" not in reference:
        return store.resolve(stage.name, reference)
    manifest = store.resolve(reference)
    if manifest.stage != stage.name:
        remedy = f"Name a {stage.name} artifact, or a recipe."
        expected = f"{stage.name}@VERSION"
        raise RequestError(Fault(where, reference, expected, remedy, "wrong_artifact"))
    return manifest


def _add(store: Store, port: Port, manifest: Manifest, found: dict[str, Manifest]) -> None:
    """Add it and, before it, all that it was given by the same port itself."""
    for reference in inputs_by(manifest, port.name):
        _add(store, port, store.manifest(reference.name, reference.version), found)
    found.setdefault(manifest.label, manifest)


def whole(
    store: Store, stage: Stage, config: Config, given: Given, recipe: str, instance: str
) -> Given:
    """Add what an instance's knobs name to what it is given; ports without anything are empty.

    Raises RequestError if what is given together was not made together: ids of one tokenizer mean
    nothing to another, whichever way they came (--input, an alias, a deployment's own inputs).
    """
    named = named_by_knobs(store, stage, config, recipe, instance)
    found = {
        port.name: (*given.get(port.name, ()), *named.get(port.name, ())) for port in stage.ports
    }
    if faults := list(_made_apart(stage, found, instance)):
        raise RequestError(faults)
    return found


def _made_apart(stage: Stage, given: Given, instance: str) -> Iterator[Fault]:
    for port in stage.ports:
        other = stage.port(port.made_with)
        if other is None:
            continue
        for made in given[port.name]:
            maker = STAGES.get(made.stage)
            own = [p for p in maker.ports if p.type is other.type and not p.names] if maker else []
            used = [r for p in own for key, r in made.inputs.items() if p.holds(key)]
            wanted = given[port.made_with]
            if used and {r.digest for r in used} != {m.digest for m in wanted}:
                names = [", ".join(each.label for each in of) for of in (used, wanted)]
                found = f"{made.label}, made from {names[0]}, beside {names[1]}"
                expected = f"{port.type.name} made from the {port.made_with} given with it"
                remedy = f"Name {names[0]} for {port.made_with}, or make {port.name} anew."
                yield Fault(f"{instance}.inputs.{port.name}", found, expected, remedy, "made_apart")
