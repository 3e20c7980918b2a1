"""The reference of all knobs, written from the config models: `python -m flows.reference`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from flows.recipe import FURTHER, RECIPE
from flows.stages import STAGES
from tasks.checks import Check
from tasks.config import Config, models_in

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

_BOUNDS = {
    "min": "≥ {:g}",
    "max": "≤ {:g}",
    "max_rise": "rises by ≤ {:g}",
    "max_fall": "falls by ≤ {:g}",
}


def reference() -> str:
    """The whole page, in Markdown."""
    parts = [_HEAD, *_section("The recipe itself", "", RECIPE, own=True)]
    for name, stage in STAGES.items():
        parts += _section(f"`{name}`", f"{name}.", stage.config)
    parts += _section("A check", "checks.", Check)
    return "\n".join(parts)


def gates() -> str:
    """What each stage is checked for where a recipe says nothing, one line each, in Markdown."""
    lines = ["| stage | blocks unless | warns unless |", "|---|---|---|"]
    for name, stage in STAGES.items():
        defaults = stage.config.model_fields["checks"].default
        cells = (_asked(defaults, severity, named=True) for severity in ("block", "warn"))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


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
        for member in models_in(field.annotation) if name != FURTHER else ():
            kind = member.model_fields.get("kind")
            label = f"{path}{name}" + (f" (`kind: {kind.default}`)" if kind else "")
            inner.append((f"`{path}{name}`" if not kind else label, f"{path}{name}.", member))
    yield ""
    for title_, path_, member in inner:
        if issubclass(member, Check):
            yield from _measures(title_, member, model.model_fields["checks"].default)
        else:
            yield from _section(title_, path_, member)


def _measures(title: str, model: type[Check], defaults: Sequence[Check]) -> Iterator[str]:
    """A heading and the table of a stage's measures, each with its default bounds."""
    yield f"### {title}\n\n{(model.__doc__ or '').strip()} See [a check](#a-check) for its knobs.\n"
    yield "| measure | what it is | blocks unless | warns unless |\n|---|---|---|---|"
    for name, about in model.about.items():
        own = [check for check in defaults if check.measure == name]
        cells = (_asked(own, severity) for severity in ("block", "warn"))
        yield f"| `{name}` | {about.says} | {' | '.join(cells)} |"
    yield ""


def _asked(checks: Sequence[Check], severity: str, *, named: bool = False) -> str:
    """The bounds of the checks of one severity, in words."""
    return "; ".join(
        (f"`{check.measure}` " if named else "")
        + ", ".join(_BOUNDS[name].format(bound) for name, bound in check.bounds.items())
        for check in checks
        if check.severity == severity
    )


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
    if isinstance(default, tuple) and default and isinstance(default[0], Check):
        return "see below"
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
    if choices and not any(models_in(field.annotation)):
        found.append(" \\| ".join(choices))
    return ", ".join(found)


if __name__ == "__main__":
    print(reference(), end="")
