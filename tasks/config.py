"""What every knob has: a description with its unit, bounds, a default and a source.

The same models are the YAML recipe, the Prefect UI's form and `docs/recipes.md`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


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


def knob(
    default: Any,
    says: str,
    *,
    source: str | None = None,
    identity: bool = True,
    **bounds: Any,
) -> Any:
    """A field of a `Config`.

    `says` describes it with its unit; `source` names the paper, page or measurement behind the
    default; `bounds` are pydantic's (`ge`, `le`, `min_length`, ...). `identity=False` marks what
    decides how the work is done and not what comes out (worker counts, time limits, devices): it
    stays out of the fingerprint.
    """
    extra: dict[str, Any] = {"identity": identity}
    if source is not None:
        extra["source"] = source
    return Field(default, description=says, json_schema_extra=extra, **bounds)


def identity(config: Config) -> dict[str, Any]:
    """The part of a configuration that decides what comes out, as plain JSON values."""
    plain = config.model_dump(mode="json")
    return {
        name: _identity_of(getattr(config, name), plain[name])
        for name, field in type(config).model_fields.items()
        if not (
            isinstance(field.json_schema_extra, dict) and not field.json_schema_extra["identity"]
        )
    }


def _identity_of(value: Any, plain: Any) -> Any:
    if isinstance(value, Config):
        return identity(value)
    if isinstance(value, tuple | list):
        return [_identity_of(v, p) for v, p in zip(value, plain, strict=True)]
    return plain
