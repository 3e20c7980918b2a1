"""What a flow is asked: the parameters beside the knobs, as the UI's run form shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from flows.runners import Runner, Threads
from flows.stages import STAGES
from tasks.stage import Port, Stage

if TYPE_CHECKING:
    from flows.recipe import Recipe
    from storage.manifest import Manifest


class Form(BaseModel):
    """A frozen group of parameters that refuses unknown ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RunOptions(Form):
    """Where a stage runs and what it is called; none of it changes what comes out."""

    force: bool = Field(False, description="build again even if there is an artifact to reuse")
    store: str = Field(description="the artifact store: a folder, or s3://bucket/prefix")
    recipe: str = Field(description="name of the recipe that the artifacts are made for")
    instance: str = Field("", description="name of the artifacts; empty: the stage's own")
    workers: int = Field(2, ge=1, le=256, description="shards worked on at once")
    runner: Runner = Field(Threads(), description="where mapped shard tasks run")
    prompts: tuple[str, ...] = Field((), description="shown on a model's page, answered by it")

    @classmethod
    def of(cls, recipe: Recipe, store: str, **changes: Any) -> RunOptions:
        """Give those of a recipe's own runs, with `changes`."""
        same = {name: getattr(recipe, name) for name in ("workers", "runner", "prompts")}
        return cls(store=store, recipe=recipe.name, **(same | changes))


class StageResult(BaseModel):
    """The artifact that a stage flow ends with, made or reused; the next one is given it.

    `name` is the artifact's; one that is reused may have been made for another instance.
    """

    model_config = ConfigDict(frozen=True)

    instance: str
    stage: str
    name: str
    version: str
    digest: str
    reused: bool
    reason: str
    rows_in: int
    rows_out: int
    num_bytes: int
    seconds: float

    @classmethod
    def of(cls, made: Manifest, instance: str, reason: str, *, reused: bool) -> StageResult:
        """Describe an artifact that an instance ends with."""
        same = ("stage", "name", "version", "digest", "rows_in", "rows_out", "num_bytes", "seconds")
        facts = {field: getattr(made, field) for field in same}
        return cls(instance=instance, reused=reused, reason=reason, **facts)

    @property
    def label(self) -> str:
        return f"{self.name}@{self.version}"


class StageInputs(Form):
    """By port, which artifacts a stage is made from. A pipeline hands its stages' results in."""

    @model_validator(mode="before")
    @classmethod
    def _labels(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        return {port: _label(value) for port, value in given.items()}

    def sources(self) -> dict[str, tuple[str, ...]]:
        """Give the references by port; empty ones are none."""
        found = {name: (of,) if isinstance(of, str) else of for name, of in dict(self).items()}
        return {name: tuple(filter(None, of)) for name, of in found.items()}


def _label(value: Any) -> Any:
    if isinstance(value, StageResult):
        return value.label
    return [_label(one) for one in value] if isinstance(value, list | tuple) else value


_WHICH = (
    "NAME (the recipe's newest), NAME@VERSION or an alias such as NAME@prod; a version or @prod "
    "alone is one of {name}"
)


def _inputs_model(stage: Stage) -> type[StageInputs]:
    fields: dict[str, Any] = {}
    for port in stage.ports:
        if port.names:  # a knob of the stage has them
            continue
        says = f"{port.type.name}: {_WHICH.format(name=port.key)}"
        if port.how == "many":
            fields[port.name] = (tuple[str, ...], Field((), description=says))
        else:
            default = "" if port.how == "optional" else port.key
            fields[port.name] = (str, Field(default, description=says))
    made: type[StageInputs] = create_model(
        f"{stage.name.capitalize()}Inputs",
        __base__=StageInputs,
        __doc__=f"What {stage.name} is made from." if fields else "Nothing: it begins here.",
        **fields,
    )
    return made


INPUTS: dict[str, type[StageInputs]] = {s.name: _inputs_model(s) for s in STAGES.values()}


def whole_reference(port: Port, reference: str) -> str:
    """Write a reference out: a bare version, `latest` or alias is one of the port's usual name."""
    name, at, version = reference.partition("@")
    if at:
        return f"{name or port.key}@{version}"
    is_version = reference[:1].isdigit() or reference == "latest"
    return f"{port.key}@{reference}" if is_version else reference
