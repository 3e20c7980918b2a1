"""What a plan knows before any work: what cannot be, and what building takes.

Every group of knobs says itself what it foresees (`Config.foreseen`), every stage what it expects
(`Stage.forecast`); here they are asked, in the order of the graph, each with what is known of those
that it is made from.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from flows.graph import is_artifact
from flows.inputs import named_by_knobs, resolve
from flows.plan import Step
from flows.preflight import estimate
from flows.recipe import Recipe
from flows.sizing import this_machine, tokens_per_second
from flows.stages import STAGES
from storage.errors import Fault, RequestError
from storage.manifest import Manifest
from storage.store import Store
from tasks.config import foresee, from_identity, identity
from tasks.foresight import Forecast, Known, Machine, Span, exactly
from tasks.machine import usable_cores


class Foresight:
    """What is known of a plan's steps: `known` by instance, and the `faults` of all of them."""

    def __init__(self, recipe: Recipe, store: Store, steps: Sequence[Step]) -> None:
        self._recipe, self._store = recipe.name, store
        self._machine = Machine(usable_cores(), recipe.workers, training_speed)
        self.needs = {need.instance: need for need in estimate(store, steps)}
        self.known: dict[str, Known] = {}
        self.faults: list[Fault] = []
        if any(step.action == "run" for step in steps):
            self.faults += _store_faults(store)
        for step in steps:
            known = self.known[step.instance.name] = self._known(step)
            if step.action == "run":
                config, where = step.instance.config, step.instance.where
                self.faults += foresee(config, known, where)
                with self._noted():
                    named_by_knobs(store, step.stage, config, recipe.name, where)

    def _known(self, step: Step) -> Known:
        knobs, made = dict(step.instance.config), step.artifact
        given = {
            port: tuple(known for source in sources for known in self._source(step, port, source))
            for port, sources in step.instance.sources.items()
        }
        if made is None or step.action in ("run", "blocked"):
            known = Known(knobs, given)
            return replace(known, forecast=self._forecast(step, known))
        knobs = dict(_knobs(made)) if step.action == "given" else knobs
        return Known(knobs, given, made.stats, made_already(made, step.stage.output.unit))

    def _forecast(self, step: Step, known: Known) -> Forecast | None:
        """Expect what the last build with these knobs took; before there is one, what the stage
        foretells."""
        last, name = step.artifact, step.instance.name
        told = step.stage.forecast and step.stage.forecast(known, self._machine)
        if last is None or name not in self.needs or last.config != identity(step.instance.config):
            return told
        need, there = self.needs[name], made_already(last, step.stage.output.unit)
        growth = _AGAIN * (need.kept_bytes / last.num_bytes if last.num_bytes else 1)
        return replace(
            told or replace(there, amount=growth * there.amount),
            text=growth * there.text,
            kept_bytes=growth * there.kept_bytes,
            seconds=growth * last.seconds,
            memory_bytes=_AGAIN * need.memory_bytes,
        )

    def total(self) -> Forecast | None:
        """Add up what the run is expected to take, one stage after the other."""
        found = (one.forecast for one in self.known.values())
        running = [one for one in found if one is not None and one.seconds.high]
        if not running:
            return None
        memory = [one.memory_bytes for one in running]
        most = Span(max(one.low for one in memory), max(one.high for one in memory))
        kept = sum((one.kept_bytes for one in running), exactly(0))
        seconds = sum((one.seconds for one in running), _PREFECT)
        return Forecast(exactly(len(running)), "instances", exactly(0), kept, seconds, most)

    def _source(self, step: Step, port: str, source: str) -> Iterator[Known]:
        if not is_artifact(source):
            yield from [self.known[source]] if source in self.known else []
            return
        taken, where = step.stage.port(port), f"{step.instance.where}.inputs.{port}"
        assert taken is not None, "the graph knows no such port"
        with self._noted():
            made = resolve(self._store, taken, source, self._recipe, where)
            yield Known(_knobs(made), {}, made.stats, made_already(made, taken.type.unit))

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """Note which artifacts of the store are named and not there."""
        try:
            yield
        except RequestError as error:
            self.faults += error.faults


_AGAIN = Span(0.7, 1.4)
"""Of what a build with the same knobs took the last time."""
_PREFECT = Span(5, 20)
"""Seconds of a run that are none of its stages' (docs/benchmarks.md)."""
_BF16_SHARE, _FP32_SHARE = Span(0.22, 1.1), Span(0.5, 1.3)
"""What the demo trained at, of the speed by the rules: with bf16 2,860 to 11,184 tokens/s."""


def training_speed(parameters: int) -> Span:
    """Give the tokens that this machine trains on in a second, by the rules of sizing."""
    machine = this_machine()
    return (_BF16_SHARE if machine.bf16 else _FP32_SHARE) * tokens_per_second(parameters, machine)


def made_already(made: Manifest, unit: str) -> Forecast:
    """Say what an artifact holds; there is nothing to do. Text is packed to a quarter, with the
    markup around it to much the same."""
    text = (Span(0.8, 2) if "html_bytes" in made.stats else Span(3, 5)) * made.num_bytes
    if isinstance(told := made.stats.get("text_bytes"), int):
        text = exactly(told)
    none = exactly(0)
    return Forecast(exactly(made.rows_out), unit, text, exactly(made.num_bytes), none, none)


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
