"""Earlier corpora that a stage is held against: artifacts that its configuration names itself."""

from __future__ import annotations

from flows.stages import Stage
from storage.errors import Fault, RequestError
from storage.manifest import Manifest
from storage.store import Store
from tasks.config import Config

_INPUT = "against-"


def named_inputs(store: Store, stage: Stage, config: Config, recipe: str) -> dict[str, Manifest]:
    """The artifacts that `against` names, and those that they were held against, oldest first.

    By the names that they have as inputs. `recipe` is the one that asks: it cannot mean itself, for
    its next run would find all that it made, and keep nothing. Raises RequestError, with all faults
    at once, if one is not there.
    """
    references: tuple[str, ...] = dict(config).get("against", ())
    found: dict[str, Manifest] = {}
    faults: list[Fault] = []
    for reference in references:
        try:
            _add(store, _resolve(store, stage, reference, recipe), found)
        except RequestError as error:
            faults += error.faults
    if faults:
        raise RequestError(faults)
    return {f"{_INPUT}{number}": manifest for number, manifest in enumerate(found.values(), 1)}


def is_named(name: str) -> bool:
    """Whether an input of this name is one of those."""
    return name.startswith(_INPUT)


def _resolve(store: Store, stage: Stage, reference: str, recipe: str) -> Manifest:
    if reference == recipe:
        remedy = "Give each increment a name of its own: --set name=crawl-2 --set dedup.against=…"
        place, expected = f"{stage.name}.against", "the name of an earlier recipe"
        raise RequestError(Fault(place, f"{reference}, this recipe itself", expected, remedy))
    if "@" in reference:
        manifest = store.resolve(reference)
        if manifest.name != stage.name:
            place, remedy = f"{stage.name}.against", f"Name a {stage.name} artifact, or a recipe."
            raise RequestError(Fault(place, reference, f"{stage.name}@VERSION", remedy))
        return manifest
    return store.resolve(stage.name, reference)


def _add(store: Store, manifest: Manifest, found: dict[str, Manifest]) -> None:
    """It and, before it, all that it was held against itself."""
    for name, reference in manifest.inputs.items():
        if is_named(name):
            _add(store, store.manifest(reference.name, reference.version), found)
    found.setdefault(manifest.label, manifest)
