"""A recipe: one YAML file with the knobs of every stage that it names.

A top-level key that is a stage's name is the instance of that name; `stages` holds further
instances. `flows/graph.py` connects them. Everything wrong with a recipe is found at once, before
any work, and said with where, what was found, what was expected and the remedy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal, Union, cast

from pydantic import Field, ValidationError, create_model, model_validator

from flows.recipe_faults import NAME, faults_of
from flows.recipe_yaml import read_mapping, read_yaml
from flows.runners import Runner, Threads
from flows.stages import STAGES
from storage.errors import Fault, RequestError, suggestion
from tasks.config import Config, knob
from tasks.stage import Stage

FURTHER = "stages"
"""The key under which further instances stand."""
_MAX_PARTS = 20  # of the path of a `--set`
_MAX_LIKES = 50  # one like the other
_MAX_VALUES = 200_000

_INPUTS_SAY = (
    "by port, what this is made from where there is more than one candidate: the name of an "
    "instance, or an artifact of the store (NAME@VERSION, NAME@ALIAS); a list for a port that "
    "takes many"
)


class Recipe(Config):
    """From a source of pages to models."""

    name: str = knob(..., "names the recipe in the store", pattern=NAME)
    workers: int = knob(
        2,
        "shards worked on at once; the output does not depend on it",
        ge=1,
        le=256,
        identity=False,
    )
    store: str | None = knob(
        None,
        "where the artifacts are kept: a folder, or s3://bucket/prefix (credentials as boto finds "
        "them); --store and PHUSA_STORE come first. Null: .phusa beside the recipe's project",
        identity=False,
    )
    runner: Runner = knob(
        Threads(),
        "where mapped shard tasks run: threads of this machine, or an existing Ray or Dask cluster",
        identity=False,
    )
    prompts: tuple[str, ...] = knob(
        (), "answered by the models at the end of a run that made something", identity=False
    )

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            return raw
        expanded, faults = expand_likes(raw)
        if faults:
            raise ValueError("; ".join(map(str, faults)))
        return expanded

    def named(self) -> Iterator[tuple[str, Stage, Config, Mapping[str, tuple[str, ...]]]]:
        """Give each instance that the recipe names: its name, stage, knobs, and inputs by port."""
        for name, stage in STAGES.items():
            config = dict(self).get(name)
            if config is not None:
                yield name, stage, config, {}
        for name, instance in (dict(self).get(FURTHER) or {}).items():
            knobs = dict(instance)
            stage, given = STAGES[knobs.pop("stage")], knobs.pop("inputs")
            inputs = {
                port: (of,) if isinstance(of, str) else tuple(of) for port, of in given.items()
            }
            yield name, stage, stage.config.model_validate(knobs), inputs

    def config(self, stage: Stage) -> Config:
        """Give the knobs of the instance of a stage's own name; its defaults if it is not named."""
        found = dict(self).get(stage.name)
        return cast("Config", found) if found is not None else stage.config()


def further_model(stage: Stage, *, with_stage: bool = True) -> type[Config]:
    """Make the model of an instance under `stages`: the stage's knobs, and how it is connected."""
    fields: dict[str, Any] = {}
    if with_stage:
        fields["stage"] = (Literal[stage.name], knob(..., "the kind of work", identity=False))
    one_or_many = dict[str, str | tuple[str, ...]]
    fields["inputs"] = (one_or_many, knob({}, _INPUTS_SAY, identity=False))
    name = f"Further{stage.config.__name__}"
    made = create_model(name, __base__=stage.config, __doc__=stage.config.__doc__, **fields)
    return cast("type[Config]", made)


def _complete() -> type[Recipe]:
    """Make the recipe's model with a field for every registered stage."""
    fields: dict[str, Any] = {
        name: (stage.config | None, knob(None, stage.says)) for name, stage in STAGES.items()
    }
    members: Any = tuple(further_model(stage) for stage in STAGES.values())
    member = Annotated[Union[members], Field(discriminator="stage")]  # noqa: UP007
    instance = Annotated[str, Field(pattern=NAME)]
    fields[FURTHER] = (
        dict[instance, member],
        knob({}, "further instances by name: their stage, knobs and inputs (`like`: another's)"),
    )
    made: type[Recipe] = create_model("Recipe", __base__=Recipe, __doc__=Recipe.__doc__, **fields)
    return made


RECIPE = _complete()
"""The whole model: what YAML files, forms and flows are validated by."""


# --- `like` ---------------------------------------------------------------------------------------


def expand_likes(raw: Mapping[str, Any]) -> tuple[dict[str, Any], list[Fault]]:
    """Write out what an instance takes over from the one it is `like`, and what is wrong with it.

    Mappings are merged, knob by knob; one whose `kind` is another is taken whole.
    """
    further = raw.get(FURTHER)
    if not isinstance(further, Mapping) or not any(
        isinstance(of, Mapping) and "like" in of for of in further.values()
    ):
        return dict(raw), []
    faults: list[Fault] = []

    def expand(name: str, seen: tuple[str, ...]) -> Any:
        own = further.get(name)
        if own is None and name in STAGES:
            return {"stage": name, **(raw.get(name) or {})}
        if not isinstance(own, Mapping) or "like" not in own:
            return own
        other, where = own["like"], f"{FURTHER}.{name}.like"
        if other in seen or other == name or len(seen) > _MAX_LIKES:
            chain = " → ".join((*seen, name, str(other)))
            expected = "an instance that is not like it"
            faults.append(Fault(where, chain, expected, "Mend one.", "cycle"))
            return None
        if other not in further and other not in STAGES:
            known = [n for n in (*further, *(s for s in STAGES if raw.get(s))) if n != name]
            expected, remedy = (
                f"one of {', '.join(known)}",
                suggestion(str(other), known, "Mend it."),
            )
            faults.append(Fault(where, repr(other), expected, remedy, "unknown_instance"))
            return None
        base = expand(str(other), (*seen, name))
        rest = {key: value for key, value in own.items() if key != "like"}
        return _merged(base, rest) if isinstance(base, Mapping) else None

    expanded = {name: expand(name, ()) for name in further}
    num = _num_values(expanded, {})
    if num > _MAX_VALUES:
        expected, remedy = f"{_MAX_VALUES:,} at most", "Name fewer instances, or smaller ones."
        found = f"{num:,} values, with what is taken over by `like`"
        return {**raw, FURTHER: {}}, [Fault(FURTHER, found, expected, remedy, "like_too_large")]
    kept = {name: of for name, of in expanded.items() if of is not None or further[name] is None}
    return {**raw, FURTHER: kept}, faults


def _num_values(value: Any, known: dict[int, int]) -> int:
    """Count values, those that stand in several places each time; each is walked once."""
    if not isinstance(value, Mapping | list):
        return 1
    if id(value) not in known:
        parts = value.values() if isinstance(value, Mapping) else value
        known[id(value)] = 1 + sum(_num_values(part, known) for part in parts)
    return known[id(value)]


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        before = merged.get(key)
        if _is_same_kind(before, value):
            merged[key] = _merged(dict(before or {}), value)
        else:
            merged[key] = value
    return merged


def _is_same_kind(before: Any, value: Any) -> bool:
    if not (isinstance(before, Mapping) and isinstance(value, Mapping)):
        return False
    return bool(value.get("kind", before.get("kind")) == before.get("kind"))


# --- reading --------------------------------------------------------------------------------------


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe, with `a.b.c=value` overrides (values in YAML).

    Raises RequestError with all faults at once.
    """
    return check_recipe(read_mapping(path), overrides, path)


def check_recipe(raw: dict[str, Any], overrides: Sequence[str], path: Path) -> Recipe:
    """Check a mapping that was read from `path`, with overrides; as `load_recipe`."""
    faults = [fault for override in overrides for fault in _apply(raw, override)]
    expanded, unlike = expand_likes(raw)
    faults += [replace(fault, where=f"{path}: {fault.where}") for fault in unlike]
    try:
        recipe = RECIPE.model_validate(expanded)
    except ValidationError as error:
        faults += faults_of(RECIPE, error, expanded, f"{path}: ")
    if faults:
        raise RequestError(faults)
    return recipe


def _apply(raw: dict[str, Any], override: str) -> list[Fault]:
    """Set one dotted path in the raw recipe; list items go by index, instances by name or glob."""
    path, equals, text = override.partition("=")
    fault = Fault(
        "--set",
        repr(override),
        "PATH=VALUE, such as dedup.threshold=0.8",
        "Name a knob by its path in the recipe (docs/recipes.md), beginning with the name of an "
        "instance; list items go by their index.",
        "wrong_form",
    )
    first, *rest = path.split(".")
    if not equals or not all((first, *rest)) or len(rest) > _MAX_PARTS:
        return [fault]
    starts = _instances(raw, first) if rest else [[first]]
    if not starts:
        known = ", ".join(
            (*(s for s in STAGES if raw.get(s) is not None), *(raw.get(FURTHER) or {}))
        )
        expected = f"an instance of {known}"
        return [Fault("--set", repr(override), expected, fault.remedy, "unknown_instance")]
    try:
        value = read_yaml(text, f"--set {path}")
        for start in starts:
            _put(raw, [*start, *rest], value)
    except RequestError as refused:
        return list(refused.faults)
    except (ValueError, IndexError, AttributeError, TypeError):
        return [fault]
    return []


def _instances(raw: Mapping[str, Any], pattern: str) -> list[list[str]]:
    """Where the instances that a name or a glob means stand in the raw recipe."""
    further = raw.get(FURTHER) or {}
    if not any(mark in pattern for mark in "*?["):
        return [[FURTHER, pattern] if pattern in further else [pattern]]
    main = [[n] for n in STAGES if raw.get(n) is not None and fnmatchcase(n, pattern)]
    return main + [[FURTHER, n] for n in further if fnmatchcase(n, pattern)]


def _put(node: Any, path: Sequence[str], value: Any) -> None:
    *parents, last = path
    for part in parents:
        if isinstance(node, list):
            node = node[int(part)]
            continue
        if node.get(part) is None:
            node[part] = {}
        node = node[part]
    if isinstance(node, list):
        node[int(last)] = value
    else:
        node[last] = value
