"""What becomes of each instance of a recipe, and why: reused, built, or blocked.

`decide` is asked by the plan and by the run alike, from manifests and fingerprints alone. No
Prefect here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from flows.gates import age_h, blocking, is_too_old, judge_hit, judge_made
from flows.graph import Graph, Instance, graph_of, is_artifact
from flows.inputs import Given, record, resolve, whole
from flows.recipe import Recipe
from flows.stages import type_of
from flows.takedown import check_forgotten
from storage import layout, takedown
from storage.errors import Fault, RequestError
from storage.gc import live_builds
from storage.manifest import CheckResult, Manifest
from storage.sealing import find_quarantined
from storage.store import Store
from storage.takedown import Forgotten, Takedowns
from tasks.artifacts.prose import as_yaml
from tasks.checks import Made
from tasks.config import Config, identity
from tasks.stage import Stage

Action = Literal["reuse", "run", "given", "blocked"]


# --- what was asked for ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Selection:
    """Which instances of a recipe take part, by names and globs.

    `only` these, or these and all that is made from them (`from_`), or these and all that they are
    made from (`to`); `force` rebuilds an instance even if it is a hit; `inputs` gives an artifact
    in the place of an instance.
    """

    only: tuple[str, ...] = ()
    from_: tuple[str, ...] = ()
    to: tuple[str, ...] = ()
    force: tuple[str, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)

    def of(self, graph: Graph) -> Chosen:
        """Choose from a graph. Raises RequestError, with all faults at once."""
        meant: dict[str, set[str]] = {}
        faults: list[Fault] = []
        options = {"only": self.only, "from": self.from_, "to": self.to, "force": self.force}
        for option, patterns in options.items():
            meant[option], wrong = graph.match(f"--{option}", patterns)
            faults += wrong
        given: dict[str, str] = {}
        for pattern, reference in self.inputs.items():
            of, wrong = graph.match("--input", [pattern])
            given |= dict.fromkeys(of, reference)
            faults += wrong
        if self.only and (self.from_ or self.to):
            other = "--from" if self.from_ else "--to"
            faults.append(
                Fault(f"--only, {other}", "both", "at most one", "Leave one out.", "excluded")
            )
        running = graph.above((i.name for i in graph if i.is_named), given) - given.keys()
        if self.only:
            running = meant["only"] - given.keys()
        if self.from_:
            running &= graph.below(meant["from"])
        if self.to:
            running &= graph.above(meant["to"], given)
        idle = sorted(meant["force"] - running)
        names = [i.name for i in graph if i.name in running]
        if idle and not faults:
            found = f"{', '.join(f'`{name}`' for name in idle)}, which does not run here"
            expected = f"one of {', '.join(names) or 'no instance'}"
            faults.append(Fault("--force", found, expected, "Leave it out.", "idle_force"))
        if faults:
            raise RequestError(faults)
        return Chosen(graph, tuple(names), frozenset(meant["force"]), given)


@dataclass(frozen=True)
class Chosen:
    """The instances that run, in order, those that are forced, and artifacts given for others."""

    graph: Graph
    running: tuple[str, ...]
    forced: frozenset[str]
    given: Mapping[str, str]

    def needed(self) -> list[Instance]:
        """List the instances whose artifacts come from the store: needed, or given, and not run."""
        used = {source for name in self.running for source in self.graph[name].upstream}
        return [i for i in self.graph if i.name in (used | self.given.keys()) - {*self.running}]

    def resolve(self, store: Store, recipe: str) -> dict[str, Manifest]:
        """Find those artifacts: versions, once. Raises RequestError with all faults at once.

        An instance that an equal one has served has made nothing itself; its fingerprint finds it.
        """
        found: dict[str, Manifest] = {}
        faults: list[Fault] = []
        for instance in self.needed():
            wanted = self.given.get(instance.name)
            try:
                if wanted is not None:
                    found[instance.name] = _given(store, instance, wanted, recipe)
                else:
                    found[instance.name] = _newest(store, instance, recipe)
            except RequestError as error:
                equal = None if wanted else _find_equal(store, self.graph, instance.name, recipe)
                if equal is None:
                    faults += error.faults
                else:
                    found[instance.name] = equal
        if faults:
            raise RequestError(faults)
        return found

    def inputs(
        self, store: Store, name: str, recipe: str, made: Mapping[str, Manifest]
    ) -> dict[str, tuple[Manifest, ...]]:
        """Give an instance's inputs by port, from what is `made` by name, and from the store."""
        return _inputs(store, self.graph[name], recipe, made)


def _newest(store: Store, instance: Instance, recipe: str) -> Manifest:
    found = store.resolve(instance.name, recipe)
    if found.stage != instance.stage.name:
        where, what = f"store {store.address}", f"{found.label}, which {found.stage} made"
        remedy = f"`phusa run RECIPE --to {instance.name}` makes one; or name it with --input."
        expected = f"an artifact of {instance.stage.name}"
        raise RequestError(Fault(where, what, expected, remedy, "wrong_artifact"))
    return found


def last_made(store: Store, stage: Stage, instance: str, recipe: str) -> Manifest | None:
    """Give the last that a recipe made for an instance; one of this name may have been another
    stage's before."""
    last = store.latest(instance, recipe)
    return last if last is not None and last.stage == stage.name else None


def _given(store: Store, instance: Instance, reference: str, recipe: str) -> Manifest:
    """The artifact that takes an instance's place: VERSION, latest, @ALIAS or NAME@… of another.

    Of several recipes' latest, that of the one that runs is meant.
    """
    owner, at, version = reference.partition("@")
    whole = f"{owner or instance.name}@{version}" if at else f"{instance.name}@{owner}"
    found = store.resolve(whole, near=recipe)
    wanted = instance.stage.output
    if not type_of(found).serves(wanted):
        what = f"{found.label}, which is {type_of(found).name}"
        remedy = f"Name an artifact that is {wanted.name}: `phusa artifacts` lists all."
        where = f"--input {instance.name}"
        raise RequestError(Fault(where, what, wanted.name, remedy, "wrong_artifact"))
    return found


def _inputs(
    store: Store, instance: Instance, recipe: str, made: Mapping[str, Manifest]
) -> dict[str, tuple[Manifest, ...]]:
    found: dict[str, tuple[Manifest, ...]] = {}
    for port in instance.stage.ports:
        where = f"{instance.where}.inputs.{port.name}"
        found[port.name] = tuple(
            resolve(store, port, source, recipe, where) if is_artifact(source) else made[source]
            for source in instance.sources[port.name]
        )
    return found


def _find_equal(store: Store, graph: Graph, name: str, recipe: str) -> Manifest | None:
    """The artifact that an instance would reuse now, made for whichever instance."""
    made: dict[str, Manifest] = {}
    takedowns, above = takedown.read(store.backend), graph.above([name])
    for instance in (one for one in graph if one.name in above):
        try:
            target = Target.of(store, instance, _inputs(store, instance, recipe, made), recipe)
            hit = store.find(instance.stage.name, target.key(takedowns))
        except (RequestError, KeyError):
            return None
        if hit is None:
            return None
        made[instance.name] = hit
    return made[name]


# --- the decision ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Target:
    """What is to be made: a stage with its knobs and inputs, for an instance of a recipe."""

    instance: str
    stage: Stage
    config: Config
    recipe: str
    given: Given

    @classmethod
    def of(cls, store: Store, instance: Instance, given: Given, recipe: str) -> Target:
        """Take an instance with the artifacts that it is given, and those that its knobs name."""
        stage, config = instance.stage, instance.config
        inputs = whole(store, stage, config, given, recipe, instance.name)
        return cls(instance.name, stage, config, recipe, inputs)

    @cached_property
    def inputs(self) -> dict[str, Manifest]:
        """The inputs by the names that they are recorded under."""
        return record(self.stage, self.given)

    @cached_property
    def digests(self) -> dict[str, str]:
        return {key: manifest.digest for key, manifest in self.inputs.items()}

    def left_out(self, takedowns: Takedowns) -> Forgotten:
        """Give the takedowns that the inputs hold content of. Raises RequestError if the stage
        cannot leave them out."""
        return check_forgotten(self.stage, self.inputs, takedowns)

    def key(self, takedowns: Takedowns) -> str:
        """Give the fingerprint."""
        rules = self.left_out(takedowns).rules
        return self.stage.fingerprint(self.config, self.digests, rules)


@dataclass(frozen=True)
class Decision:
    """What becomes of a target.

    `artifact` is what is reused, or in the way, or the last that its recipe made; `held` says that
    it lies in quarantine. `replaces`: a build takes the place of a whole artifact.
    """

    action: Action
    reason: str
    key: str
    left_out: Forgotten
    artifact: Manifest | None
    checks: tuple[CheckResult, ...] = ()
    held: bool = False
    replaces: bool = False

    @property
    def label(self) -> str:
        """Name the artifact that the checks were made of."""
        label = "" if self.artifact is None else self.artifact.label
        return f"{label}, built before and in quarantine," if self.held else label


def decide(store: Store, target: Target, takedowns: Takedowns, *, force: bool = False) -> Decision:
    """Decide whether a target is reused, built, or blocked by the gates of today.

    Raises RequestError if an input holds what was taken down and the stage cannot leave it out.
    """
    stage, config, recipe = target.stage, target.config, target.recipe
    left_out = target.left_out(takedowns)
    key = stage.fingerprint(config, target.digests, left_out.rules)
    last = last_made(store, stage, target.instance, recipe)
    if force:
        return Decision("run", "forced", key, left_out, last, replaces=True)
    hit = store.find(stage.name, key)
    if hit is not None and is_too_old(config, hit):
        return Decision("run", _age_reason(config, hit), key, left_out, hit, replaces=True)
    if hit is not None:
        checks = judge_hit(store, stage, config, hit, recipe)
        return _judged(Decision("reuse", _hit_reason(target, hit), key, left_out, hit, checks))
    held = find_quarantined(store, key)
    if held is not None and not is_too_old(config, held):
        checks = judge_made(stage, config, Made.of(held), last)
        reason = "from quarantine: its checks hold now"
        return _judged(Decision("reuse", reason, key, left_out, held, checks, held=True))
    reason = _run_reason(stage, identity(config), target.digests, left_out.rules, last)
    return Decision("run", reason, key, left_out, last)


def _judged(found: Decision) -> Decision:
    failed = blocking(found.checks)
    if not failed or found.artifact is None:
        return found
    reason = f"{found.artifact.label}: {' '.join(failed)}"
    return Decision(
        "blocked", reason, found.key, found.left_out, found.artifact, found.checks, found.held
    )


def _age_reason(config: Config, hit: Manifest) -> str:
    allowed = dict(config)["max_age_h"]
    return f"{hit.version} is {age_h(hit):.1f} h old; {allowed:g} h are allowed (max_age_h)"


def _hit_reason(target: Target, hit: Manifest) -> str:
    """Say why an artifact is reused; names drift of code, which the fingerprint leaves out."""
    same = hit.version if hit.name == target.instance else hit.label
    reason = f"same configuration and inputs as {same} (fingerprint {hit.fingerprint[:8]})"
    if hit.code.source_sha256 != target.stage.source_sha256:
        reason += f"; its code changed since: --force {target.instance} rebuilds it"
    return reason


def _run_reason(
    stage: Stage,
    config: Mapping[str, Any],
    digests: Mapping[str, str],
    left_out: Sequence[str],
    last: Manifest | None,
) -> str:
    """What differs from the last one that this recipe made."""
    if last is None:
        return "never made by this recipe"
    changes = [
        f"{path}: {_brief(old)} → {_brief(new)}"
        for path, old, new in differences(last.config, config)
    ]
    if last.code.stage_version != stage.version:
        changes.append(f"stage version: {last.code.stage_version} → {stage.version}")
    for name, digest in digests.items():
        before = last.inputs.get(name)
        if before is None or before.digest != digest:
            changes.append(f"content of {name} changed")
    if last.forgotten != tuple(left_out):
        changes.append(f"to be left out: {', '.join(left_out) or 'nothing any more'}")
    return "; ".join(changes) or "the last one is damaged or was built by force"


def differences(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Find the leaves in which two JSON values differ, with their dotted paths."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from differences(one, other, f"{path}.{index}")
    elif old != new:
        yield path, old, new


def _brief(value: Any) -> str:
    text = as_yaml(value, inline=True)
    return text if len(text) <= 40 else text[:37] + "..."


# --- the plan -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """What becomes of one instance. `artifact` is what is reused, given or blocked, or the last.

    `held` says that it lies in quarantine.
    """

    instance: Instance
    action: Action
    reason: str
    artifact: Manifest | None
    held: bool = False

    @property
    def stage(self) -> Stage:
        return self.instance.stage

    @property
    def is_settled(self) -> bool:
        """Whether a run would change nothing for it."""
        return self.action in ("reuse", "given") and not self.held


def plan(recipe: Recipe, store: Store, selection: Selection) -> list[Step]:
    """Plan what `phusa run` would do now, instance by instance.

    Downstream of an instance that runs nothing is certain: if its output comes out the same, the
    next one is reused after all.
    """
    graph = graph_of(recipe)
    chosen = selection.of(graph)
    known = chosen.resolve(store, recipe.name)
    steps = {
        name: Step(graph[name], "given", _given_reason(name, chosen), manifest)
        for name, manifest in known.items()
    }
    takedowns = takedown.read(store.backend)
    for name in chosen.running:
        steps[name] = _step(store, chosen, name, recipe.name, known, steps, takedowns)
        artifact = steps[name].artifact
        if steps[name].action == "reuse" and artifact is not None:
            known[name] = artifact
    return [steps[i.name] for i in graph if i.name in steps]


def _given_reason(name: str, chosen: Chosen) -> str:
    return "chosen with --input" if name in chosen.given else "its latest version"


def _step(
    store: Store,
    chosen: Chosen,
    name: str,
    recipe: str,
    known: Mapping[str, Manifest],
    steps: Mapping[str, Step],
    takedowns: Takedowns,
) -> Step:
    instance, forced = chosen.graph[name], name in chosen.forced
    uncertain: Iterable[str] = [s for s in instance.upstream if steps[s].action in _UNCERTAIN]
    if uncertain:
        last = last_made(store, instance.stage, name, recipe)
        reason = f"waits for {', '.join(uncertain)}; reused if its inputs come out unchanged"
        return Step(instance, "run", "forced" if forced else reason, last)
    given = chosen.inputs(store, name, recipe, known)
    target = Target.of(store, instance, given, recipe)
    found = decide(store, target, takedowns, force=forced)
    reason = found.reason
    if found.action == "run":
        held = live_builds(store).get(layout.lease_key(instance.stage.name, found.key))
        reason += f"; being built now, by {held}" if held else ""
    return Step(instance, found.action, reason, found.artifact, found.held)


_UNCERTAIN = frozenset({"run", "blocked"})
