"""What pydantic refuses in a recipe, told as faults that people can act on.

Expected types are written in words from the knob's JSON schema. The tags by which pydantic tells
the members of a union apart stand in no recipe, and so in the place of no fault.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from storage.errors import Fault, suggestion
from tasks.config import Misfit

NAME = r"^[a-z0-9][a-z0-9_-]{0,62}$"
_FORMS = {NAME: "small letters, digits, - and _, at most 63, the first a letter or digit"}
_POINTED = re.compile(r"\d+[., ][\d., ]*")
_RANGES = ("greater_", "less_", "multiple_", "finite_", "too_", "string_too_")

Schema = Mapping[str, Any]
Place = tuple[str | int, ...]


def faults_of(
    model: type[BaseModel], error: ValidationError, raw: Mapping[str, Any], prefix: str = ""
) -> list[Fault]:
    """Tell why `model` refused `raw`; `prefix` stands before each place."""
    root = model.model_json_schema()
    faults: dict[Place | int, Fault] = {}
    found = [(_Spot.of(root, details["loc"]), details) for details in error.errors()]
    # Where one member of a union was read into, the others were not meant.
    meant = {spot.union for spot, _ in found if spot.union != spot.place}
    for number, (spot, details) in enumerate(found):
        if spot.union is None or spot.union != spot.place:
            faults[number] = _fault(spot, details, prefix)
        elif spot.union not in meant:  # they speak as one
            faults.setdefault(spot.union, _fault(spot, details, prefix))
    alone = [s.place for s, d in found if d["type"] == "tuple_type" and isinstance(d["input"], str)]
    listed = [fault for place in alone for fault in _faults_in_list(model, place, raw, prefix)]
    return [*faults.values(), *listed]


def _faults_in_list(
    model: type[BaseModel], place: Place, raw: Mapping[str, Any], prefix: str
) -> list[Fault]:
    """Tell what is wrong with a value that stands alone where a list should, so that all of
    `languages: Vietnamese` is mended at once."""
    tried: Any = copy.deepcopy(dict(raw))
    node = tried
    for part in place[:-1]:
        node = node[part]
    node[place[-1]] = [node[place[-1]]]
    where = prefix + ".".join(map(str, (*place, 0)))
    try:
        model.model_validate(tried)
    except ValidationError as error:
        return [fault for fault in faults_of(model, error, tried, prefix) if fault.where == where]
    return []


@dataclass
class _Spot:
    """A place in a recipe, and what the schema says of it.

    `knob` is the field that it belongs to, `around` the mapping that it stands in, `union` the
    place of the union of several types that it is in, and `members` what that takes.
    """

    root: Schema
    schema: Schema
    place: Place = ()
    knob: Schema = field(default_factory=dict)
    around: Schema = field(default_factory=dict)
    union: Place | None = None
    members: Schema = field(default_factory=dict)

    @classmethod
    def of(cls, root: Schema, loc: Place) -> _Spot:
        """Follow a place as pydantic names it, tags of unions included."""
        spot = cls(root, root)
        for part in loc:
            spot._go(part)
        all_members = spot.union is not None and spot.union == spot.place
        spot.schema = _resolved(root, spot.members if all_members else spot.schema)
        return spot

    def _go(self, part: str | int) -> None:
        here = _resolved(self.root, self.schema)
        members = here.get("anyOf", ())
        tags = here.get("discriminator", {}).get("mapping", {})
        if members or part in tags:
            if members:
                self.union, self.members = self.place, here
            fitting = (m for m in members if _is_called(m, str(part)))
            self.schema = {"$ref": tags[part]} if part in tags else next(fitting, here)
            return
        if part == "[key]":
            pattern = next(iter(self.around.get("patternProperties", {})), "")
            self.schema = {"type": "string", "pattern": pattern}
            return
        self.around, self.place = here, (*self.place, part)
        if isinstance(part, int):
            items = here.get("prefixItems", ())
            self.schema = items[part] if part < len(items) else here.get("items", {})
        elif part in here.get("properties", {}):
            self.schema = self.knob = here["properties"][part]
        else:
            named = [*here.get("patternProperties", {}).values(), here.get("additionalProperties")]
            self.schema = named[0] or {}

    @property
    def about(self) -> str:
        """Say what the knob is for, as a remedy."""
        default = self.knob.get("default")
        plain = isinstance(default, int | float | str) and default != ""
        usual = f" (by default {_short(default)})" if plain else ""
        says = self.knob.get("description")
        return f"It means: {says}{usual}." if says else "docs/recipes.md has every knob."


def _resolved(root: Schema, schema: Schema) -> Schema:
    """Follow references, and take `X or null` for X."""
    members = [m for m in schema.get("anyOf", ()) if m.get("type") != "null"]
    if "$ref" in schema:
        return _resolved(root, root["$defs"][schema["$ref"].rpartition("/")[2]])
    return _resolved(root, members[0]) if len(members) == 1 else schema


def _is_called(member: Schema, label: str) -> bool:
    """Say whether pydantic means this member of a union by `label`: `tuple[str, ...]`."""
    if "$ref" in member:
        return bool(member["$ref"].endswith(f"/{label}"))
    return label.startswith("tuple") == (member.get("type") == "array")


# --- words ----------------------------------------------------------------------------------------


def _fault(spot: _Spot, details: ErrorDetails, prefix: str) -> Fault:
    kind, value = details["type"], details["input"]
    where = prefix + (".".join(map(str, spot.place)) or "recipe")
    expected = _words(spot.root, spot.schema)
    if kind == "extra_forbidden":
        key, known = str(spot.place[-1]), sorted(spot.around["properties"])
        remedy = suggestion(key, known, "Remove it.")
        return Fault(where, f"unknown key `{key}`", _one_of(known), remedy, "unknown_key")
    if kind == "missing":
        remedy = f"Add `{spot.place[-1]}: …`. {spot.about}"
        return Fault(where, "nothing", f"{expected}: this knob has no default", remedy, "missing")
    if kind.startswith("union_tag"):
        return _untold(spot, value, where)
    if kind == "value_error":
        return _misfit(details, where, spot.about)
    if kind in ("literal_error", "enum"):
        remedy = suggestion(str(value), _choices(spot.root, spot.schema), spot.about)
        return Fault(where, _short(value), expected, remedy, "not_one_of")
    code = "out_of_range" if kind.startswith(_RANGES) else "wrong_type"
    code = "wrong_form" if kind == "string_pattern_mismatch" else code
    alone = kind == "tuple_type" and not isinstance(value, Mapping | None)
    remedy = f"Write it as a list: [{value}]. " if alone else ""
    if "whole number" in expected and _POINTED.fullmatch(str(value)):
        remedy = "A whole number has no point or comma: 40000, or 40_000. "
    return Fault(where, _short(value), expected, remedy + spot.about, code)


def _untold(spot: _Spot, value: Any, where: str) -> Fault:
    """Tell of a mapping whose `kind` (or `stage`) is none that there is, or is not said."""
    tag = spot.schema["discriminator"]["propertyName"]
    kinds: Schema = spot.schema["discriminator"]["mapping"]
    where, expected = f"{where}.{tag}", _one_of(sorted(kinds))
    knobs = {kind: _resolved(spot.root, {"$ref": ref}) for kind, ref in kinds.items()}
    if tag in value:
        told = " ".join(f"`{k}`: {knobs[k].get('description', '')}" for k in sorted(knobs))
        remedy = suggestion(str(value[tag]), kinds, told)
        return Fault(where, _short(value[tag]), expected, remedy, "unknown_kind")
    likely = [k for k, of in knobs.items() if value and value.keys() <= of["properties"].keys()]
    remedy = f"Add `{tag}: {likely[0] if len(likely) == 1 else '…'}`."
    return Fault(where, "nothing", expected, remedy, "missing")


def _misfit(details: ErrorDetails, where: str, about: str) -> Fault:
    """Tell what a rule of ours refused: `FOUND; expected SO. REMEDY`, or a Misfit."""
    error = details["ctx"]["error"]
    found, _, rest = str(error).partition("; expected ")
    if isinstance(error, Misfit):
        where = f"{where}.{error.at}" if error.at else where
        return Fault(where, found, rest, error.remedy or about, error.code)
    shown = found if rest else _short(details["input"])
    return Fault(where, shown, rest or found, about, "refused_value")


def words(schema: Schema) -> str:
    """Write what a whole schema takes."""
    return _words(schema, schema)


def _words(root: Schema, schema: Schema) -> str:
    """Write what a schema takes: `a whole number from 1 to 256`."""
    kind = schema.get("type")
    if "$ref" in schema:
        says = _words(root, _resolved(root, schema))
    elif "discriminator" in schema:
        tag = schema["discriminator"]["propertyName"]
        says = f"a mapping with `{tag}:` {_one_of(schema['discriminator']['mapping'])}"
    elif "anyOf" in schema:
        says = " or ".join(_words(root, member) for member in schema["anyOf"])
    elif choices := _choices(root, schema):
        says = _one_of(choices)
    elif kind in ("integer", "number"):
        says = f"a {'whole ' * (kind == 'integer')}number{_bounds(schema)}"
    elif kind == "string":
        form = schema.get("pattern")
        says = "text" + (" that is not empty" if schema.get("minLength") else "")
        says += f": {_FORMS.get(form, f'what matches `{form}`')}" if form else ""
    elif kind == "array":
        item, *_ = schema.get("prefixItems", [schema.get("items", {})])
        least, some = schema.get("minItems"), "" if "maxItems" in schema else " or more"
        says = f"a list{f' of {least}{some}' if least else ''}, each {_words(root, item)}"
    elif kind == "object" and "properties" in schema:
        says = f"a mapping of knobs: {', '.join(schema['properties'])}"
    else:
        says = {"boolean": "true or false", "null": "null"}.get(str(kind), "a mapping")
    return says


def _choices(root: Schema, schema: Schema) -> list[Any]:
    """List the values that a schema takes, where it names them."""
    if "anyOf" in schema:
        return [value for member in schema["anyOf"] for value in _choices(root, member)]
    return [schema["const"]] if "const" in schema else list(schema.get("enum", ()))


def _one_of(names: Any) -> str:
    return f"one of {', '.join(map(str, names))}"


def _bounds(schema: Schema) -> str:
    lows = {"minimum": "of at least", "exclusiveMinimum": "above"}
    highs = {"maximum": "at most", "exclusiveMaximum": "below"}
    bounds = [f"{says} {schema[k]:,}" for k, says in (lows | highs).items() if k in schema]
    says = " and ".join(bounds)
    if "minimum" in schema and "maximum" in schema:
        says = f"from {schema['minimum']:,} to {schema['maximum']:,}"
    multiple = f", a multiple of {schema['multipleOf']}" if "multipleOf" in schema else ""
    return (f" {says}" if says else "") + multiple


def _short(value: object) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):  # a date; a mapping in itself
        text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
