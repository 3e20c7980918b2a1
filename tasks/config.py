"""What every knob has: a description with its unit, bounds, a default and a source.

The same models are the YAML recipe, the Prefect UI's form and `docs/recipes.md`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

from storage.errors import Fault
from tasks.foresight import Known


def _compilable(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a regular expression ({error})") from error
    return pattern


Pattern = Annotated[str, AfterValidator(_compilable)]
"""A regular expression, checked when the recipe is read."""


class Config(BaseModel):
    """A frozen group of knobs that refuses unknown ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def foreseen(self, known: Known) -> Iterable[Fault]:
        """Find what a run would fail on and validation cannot see: files, devices, packages, what
        the instance is made from. Nothing is changed; `where` is a knob's path below this group."""
        return ()


def foresee(config: Config, known: Known, where: str) -> Iterator[Fault]:
    """Find all that is `foreseen` of a configuration and of every group of knobs in it."""
    for fault in config.foreseen(known):
        yield replace(fault, where=f"{where}.{fault.where}" if fault.where else where)
    for path, group in _groups(dict(config), where):
        yield from foresee(group, known, path)


def _groups(value: Any, path: str) -> Iterator[tuple[str, Config]]:
    if isinstance(value, Config):
        yield path, value
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _groups(one, f"{path}.{key}")
    elif isinstance(value, tuple | list):
        for index, one in enumerate(value):
            yield from _groups(one, f"{path}.{index}")


def knob(
    default: Any,
    says: str,
    *,
    source: str | None = None,
    identity: bool = True,
    neutral: Any = ...,
    **bounds: Any,
) -> Any:
    """A field of a `Config`.

    `says` describes it with its unit; `source` names the paper, page or measurement behind the
    default; `bounds` are pydantic's (`ge`, `le`, `min_length`, ...). `identity=False` marks what
    decides how the work is done and not what comes out (worker counts, time limits, devices): it
    stays out of the fingerprint. `neutral` is the value (as JSON) under which everything is as it
    was before there was this knob: a field that equals it stays out, too, so that adding a knob
    builds nothing again.
    """
    extra: dict[str, Any] = {"identity": identity}
    if neutral is not ...:
        extra["neutral"] = neutral
    if source is not None:
        extra["source"] = source
    return Field(default, description=says, json_schema_extra=extra, **bounds)


def identity(config: Config) -> dict[str, Any]:
    """Give the part of a configuration that decides what comes out, as plain JSON values."""
    plain = config.model_dump(mode="json")
    return {
        name: _identity_of(getattr(config, name), plain[name])
        for name, field in type(config).model_fields.items()
        if _said(field).get("identity", True) and plain[name] != _said(field).get("neutral", ...)
    }


def _said(field: FieldInfo) -> dict[str, Any]:
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}


def _identity_of(value: Any, plain: Any) -> Any:
    if isinstance(value, Config):
        return identity(value)
    if isinstance(value, tuple | list):
        return [_identity_of(v, p) for v, p in zip(value, plain, strict=True)]
    return plain


M = TypeVar("M", bound=BaseModel)


def from_identity(model: type[M], kept: Mapping[str, Any]) -> M:
    """Read a configuration back from what `identity` kept of it, the rest at its defaults.

    A knob that is not there had its neutral value, whatever its default is by now. Raises
    ValidationError if `model` cannot read it any more.
    """
    return model.model_validate(_with_neutral(model, kept))


def _with_neutral(model: type[BaseModel], kept: Mapping[str, Any]) -> dict[str, Any]:
    whole = dict(kept)
    for name, field in model.model_fields.items():
        if name in whole:
            whole[name] = _filled(list(models_in(field.annotation)), whole[name])
        elif "neutral" in _said(field):
            whole[name] = _said(field)["neutral"]
    return whole


def _filled(models: list[type[BaseModel]], kept: Any) -> Any:
    if isinstance(kept, list):
        return [_filled(models, one) for one in kept]
    if not isinstance(kept, Mapping):
        return kept
    fitting = [m for m in models if "kind" not in kept or kind_of(m) == kept["kind"]]
    return _with_neutral(fitting[0], kept) if fitting else kept


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Find the config models in an annotation, members of unions and items of tuples included."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from models_in(part)


def kind_of(model: type[BaseModel]) -> object:
    """Give the `kind` that tells a union's member apart, or None."""
    field = model.model_fields.get("kind")
    return None if field is None else field.default
