"""What a plan knows before any work: what cannot be, and what building takes.

Every group of knobs says itself what it foresees (`Config.foreseen`), every stage what it expects
(`Stage.forecast`); here they are asked, in the order of the graph, each with what is known of those
that it is made from.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from flows.graph import is_artifact
from flows.inputs import named_by_knobs, resolve
from flows.plan import Step
from flows.stages import STAGES
from storage.errors import Fault, RequestError
from storage.manifest import Manifest
from storage.store import Store
from tasks.config import foresee, from_identity
from tasks.foresight import Known


class Foresight:
    """What is known of the steps of a plan: `known` by instance, and the `faults` of all of them."""

    def __init__(self, recipe: str, store: Store, steps: Sequence[Step]) -> None:
        self._recipe, self._store = recipe, store
        self.known: dict[str, Known] = {}
        self.faults: list[Fault] = []
        if any(step.action == "run" for step in steps):
            self.faults += _store_faults(store)
        for step in steps:
            known = self.known[step.instance.name] = self._known(step)
            if step.action == "run":
                self.faults += foresee(step.instance.config, known, step.instance.where)
                self.faults += self._lacking(step)

    def _known(self, step: Step) -> Known:
        made = step.artifact if step.action in ("reuse", "given") else None
        given = {
            port: tuple(known for source in sources for known in self._source(step, port, source))
            for port, sources in step.instance.sources.items()
        }
        if made is None:
            return Known(dict(step.instance.config), given)
        return Known(_knobs(made), given, made.stats)

    def _source(self, step: Step, port: str, source: str) -> Iterator[Known]:
        if not is_artifact(source):
            yield from [self.known[source]] if source in self.known else []
            return
        taken, where = step.stage.port(port), f"{step.instance.where}.inputs.{port}"
        try:
            assert taken is not None
            made = resolve(self._store, taken, source, self._recipe, where)
            yield Known(_knobs(made), stats=made.stats)
        except RequestError as error:
            self.faults += error.faults

    def _lacking(self, step: Step) -> Sequence[Fault]:
        """Artifacts that knobs name and that are not there."""
        instance, where = step.instance, step.instance.where
        try:
            named_by_knobs(self._store, step.stage, instance.config, self._recipe, where)
        except RequestError as error:
            return error.faults
        return ()


def _knobs(made: Manifest) -> Mapping[str, object]:
    """The knobs that an artifact was made with, as far as this version can read them."""
    stage = STAGES.get(made.stage)
    try:
        return dict(from_identity(stage.config, made.config)) if stage else {}
    except ValidationError:
        return {}


def _store_faults(store: Store) -> Iterator[Fault]:
    """Say whether work can be done at all: in the store, or beside the cache of a remote one."""
    place: Path = store.work
    while not place.exists() and place != place.parent:
        place = place.parent
    if not (place.is_dir() and os.access(place, os.W_OK | os.X_OK)):
        found = f"{place}, which cannot be written" if place.is_dir() else f"{place}, no folder"
        remedy = "Give this user the permission, or choose another place with --store."
        expected = "a folder that this user can write"
        yield Fault(f"store {store.address}", found, expected, remedy, "store_not_writable")
