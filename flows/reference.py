"""The reference of all knobs, written from the config models: `python -m flows.reference`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from flows.recipe import Recipe, models_in
from flows.stages import STAGES
from tasks.config import Config

_HEAD = """# Recipes

<!-- Written from the config models by `make docs`; a test keeps it true. -->

A recipe is one YAML file with every knob of every stage. `phusa run RECIPE` runs it, `--set
PATH=VALUE` changes a knob for one run (`--set dedup.threshold=0.7`, list items by index:
`--set clean.filters.0.min_words=30`), `phusa plan RECIPE` says what would run. All faults of a
recipe are reported at once, before any work. `recipes/demo.yaml` is a complete example with
comments.

Knobs marked † decide how the work is done, not what comes out: they are no part of a stage's
fingerprint, and changing them runs nothing again.
"""


def reference() -> str:
    """The whole page, in Markdown."""
    parts = [_HEAD, *_section("The recipe itself", "", Recipe, own=True)]
    for name, stage in STAGES.items():
        parts += _section(f"`{name}`", f"{name}.", stage.config)
    return "\n".join(parts)


def _section(title: str, path: str, model: type[BaseModel], *, own: bool = False) -> Iterator[str]:
    """A heading and a table for `model`, then one for each model inside it."""
    level = "##" if path.count(".") <= 1 else "###"
    yield f"{level} {title}\n\n{(model.__doc__ or '').strip().splitlines()[0]}\n"
    yield "| knob | default | bounds | what it is |\n|---|---|---|---|"
    inner: list[tuple[str, str, type[BaseModel]]] = []
    for name, field in model.model_fields.items():
        if own and name in STAGES:
            continue
        yield _row(path, name, field)
        for member in models_in(field.annotation):
            kind = member.model_fields.get("kind")
            label = f"{path}{name}" + (f" (`kind: {kind.default}`)" if kind else "")
            inner.append((f"`{path}{name}`" if not kind else label, f"{path}{name}.", member))
    yield ""
    for title_, path_, member in inner:
        yield from _section(title_, path_, member)


def _row(path: str, name: str, field: FieldInfo) -> str:
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    mark = " †" if extra.get("identity") is False else ""
    says = field.description or "which member of the union this is"
    if source := extra.get("source"):
        says += f" *(source: {source})*"
    return f"| `{path}{name}`{mark} | {_default(field)} | {_bounds(field)} | {says} |"


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "required"
    default: Any = field.default
    if isinstance(default, Config):
        kind = getattr(default, "kind", None)
        return f"`{kind}`" if kind else "see below"
    if isinstance(default, tuple) and default and isinstance(default[0], Config):
        return ", ".join(f"`{getattr(item, 'kind', type(item).__name__)}`" for item in default)
    return f"`{json.dumps(default)}`"


def _bounds(field: FieldInfo) -> str:
    names = {
        "ge": "≥ {}",
        "gt": "> {}",
        "le": "≤ {}",
        "lt": "< {}",
        "min_length": "at least {}",
        "multiple_of": "multiple of {}",
    }
    found = [
        text.format(getattr(bound, key))
        for bound in field.metadata
        for key, text in names.items()
        if getattr(bound, key, None) is not None
    ]
    choices = [arg for arg in get_args(field.annotation) if isinstance(arg, str)]
    if choices and not models_in(field.annotation):
        found.append(" \\| ".join(choices))
    return ", ".join(found)


if __name__ == "__main__":
    print(reference(), end="")
