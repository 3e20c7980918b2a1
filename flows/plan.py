"""What a run would do, and why: decided from manifests and fingerprints alone, without Prefect."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from flows.against import named_inputs
from flows.gates import blocking, judge_hit, judge_made
from flows.recipe import Recipe
from flows.stages import STAGES, Stage, age_h, is_too_old, source_sha256
from flows.takedown import check_forgotten
from storage import takedown
from storage.errors import Fault, RequestError
from storage.manifest import CheckResult, Manifest
from storage.sealing import find_quarantined
from storage.store import Store
from storage.takedown import Takedowns
from tasks.checks import Made
from tasks.config import Config, identity

Action = Literal["reuse", "run", "given", "blocked"]


@dataclass(frozen=True)
class Selection:
    """Which stages of a recipe take part.

    `only` one stage, or `from_stage` and all after it; `force` rebuilds a stage even if it is a
    hit; `inputs` gives a stage's artifact instead of running it.
    """

    only: str | None = None
    from_stage: str | None = None
    force: frozenset[str] = frozenset()
    inputs: Mapping[str, str] = field(default_factory=dict)

    def stages(self) -> tuple[str, ...]:
        """The names of the stages to run, in order."""
        names = tuple(STAGES)
        if self.only is not None:
            names = (self.only,)
        elif self.from_stage is not None:
            names = names[names.index(self.from_stage) :]
        return tuple(name for name in names if name not in self.inputs)

    def check(self) -> None:
        """Raise RequestError for stages that do not exist or exclude each other."""
        named: dict[str, Sequence[str | None]] = {
            "--only": [self.only],
            "--from": [self.from_stage],
            "--force": sorted(self.force),
            "--input": sorted(self.inputs),
        }
        faults = [
            Fault(
                option,
                f"unknown stage `{name}`",
                f"one of {', '.join(STAGES)}",
                "Name a stage of the recipe.",
            )
            for option, names in named.items()
            for name in names
            if name is not None and name not in STAGES
        ]
        if self.only is not None and self.from_stage is not None:
            faults.append(Fault("--only, --from", "both", "at most one", "Leave one of them out."))
        if not faults:
            faults += [
                Fault(
                    "--force",
                    f"`{name}`, which does not run here",
                    f"one of {', '.join(self.stages()) or 'no stage'}",
                    "Leave it out.",
                )
                for name in sorted(self.force.difference(self.stages()))
            ]
        if faults:
            raise RequestError(faults)


@dataclass(frozen=True)
class Step:
    """What becomes of one stage. `artifact` is what is reused, given or blocked, or the last made.

    A stage is blocked if what it made before does not pass the gates of today.
    """

    stage: Stage
    action: Action
    reason: str
    artifact: Manifest | None


def given_inputs(recipe: Recipe, store: Store, selection: Selection) -> dict[str, Manifest]:
    """The artifacts that come from the store because their stages do not run: versions, once.

    Raises RequestError, with all faults at once, if one is not there.
    """
    running = selection.stages()
    needed = {name for stage in running for name in STAGES[stage].inputs}.difference(running)
    found: dict[str, Manifest] = {}
    faults: list[Fault] = []
    for name in (n for n in STAGES if n in needed or n in selection.inputs):
        wanted = selection.inputs.get(name)
        try:
            found[name] = (
                store.resolve(f"{name}@{wanted.removeprefix('@')}")
                if wanted is not None
                else store.resolve(name, recipe.name)
            )
        except RequestError as error:
            faults += error.faults
    if faults:
        raise RequestError(faults)
    return found


def plan(recipe: Recipe, store: Store, selection: Selection) -> list[Step]:
    """What `phusa run` would do now, stage by stage.

    Downstream of a stage that runs nothing is certain: if its output comes out the same, the next
    stage is reused after all.
    """
    selection.check()
    given = given_inputs(recipe, store, selection)
    steps = {
        name: Step(STAGES[name], "given", _given_reason(name, selection), manifest)
        for name, manifest in given.items()
    }
    takedowns = takedown.read(store.backend)
    for name in selection.stages():
        forced = name in selection.force
        steps[name] = _step(recipe, store, STAGES[name], steps, takedowns, forced)
    return [steps[name] for name in STAGES if name in steps]


def _given_reason(name: str, selection: Selection) -> str:
    return "chosen with --input" if name in selection.inputs else "its latest version"


def _step(
    recipe: Recipe,
    store: Store,
    stage: Stage,
    steps: Mapping[str, Step],
    takedowns: Takedowns,
    forced: bool,
) -> Step:
    last = store.latest(stage.name, recipe.name)
    running = [name for name in stage.inputs if steps[name].action in ("run", "blocked")]
    if running and not forced:
        reason = f"waits for {', '.join(running)}; reused if its inputs come out unchanged"
        return Step(stage, "run", reason, last)
    config = recipe.stage(stage.name)
    inputs = {name: steps[name].artifact for name in stage.inputs}
    whole = {name: manifest for name, manifest in inputs.items() if manifest is not None}
    whole |= named_inputs(store, stage, config, recipe.name)
    left_out = check_forgotten(stage, whole, takedowns).rules
    if forced:
        return Step(stage, "run", "forced", last)
    digests = {name: manifest.digest for name, manifest in whole.items()}
    key = stage.fingerprint(config, digests, left_out)
    hit = store.find(stage.name, key)
    if hit is not None and is_too_old(config, hit):
        return Step(stage, "run", age_reason(config, hit), hit)
    if hit is not None:
        checks = judge_hit(store, stage, config, hit, recipe.name)
        return _judged(stage, hit, checks, hit_reason(stage, hit))
    held = find_quarantined(store, stage.name, key)
    if held is not None and not is_too_old(config, held):
        checks = judge_made(stage, config, Made.of(held), last)
        return _judged(stage, held, checks, f"{held.version} is released from quarantine")
    return Step(stage, "run", run_reason(stage, identity(config), digests, left_out, last), last)


def _judged(stage: Stage, there: Manifest, checks: Iterable[CheckResult], reason: str) -> Step:
    failed = blocking(checks)
    if failed:
        return Step(stage, "blocked", f"{there.label}: {' '.join(failed)}", there)
    return Step(stage, "reuse", reason, there)


def age_reason(config: Config, hit: Manifest) -> str:
    """Why a stage runs although the same artifact is there."""
    allowed = dict(config)["max_age_h"]
    return f"{hit.version} is {age_h(hit):.1f} h old; {allowed:g} h are allowed (max_age_h)"


def hit_reason(stage: Stage, hit: Manifest) -> str:
    """Why a stage is reused; names drift of its code, which the fingerprint leaves out."""
    reason = f"same configuration and inputs as {hit.version} (fingerprint {hit.fingerprint[:8]})"
    if hit.code.source_sha256 != source_sha256(stage.name):
        reason += f"; its code changed since: --force {stage.name} rebuilds it"
    return reason


def run_reason(
    stage: Stage,
    config: Mapping[str, Any],
    digests: Mapping[str, str],
    left_out: Sequence[str],
    last: Manifest | None,
) -> str:
    """Why a stage runs: what differs from the last one that this recipe made."""
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
    """The leaves in which two JSON values differ, with their dotted paths."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from differences(one, other, f"{path}.{index}")
    elif old != new:
        yield path, old, new


def _brief(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."
