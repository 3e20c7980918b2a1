"""A quick and impolite source for loopback: every knob that the tests of live crawls turn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from tasks.crawl.sources.web import WebSource

_QUICK = {
    "allow_private_addresses": True,
    "delay_s": 0.0,
    "delay_factor": 0.0,
    "connections_per_host": 4,
    "timeout_s": 10.0,
    "retries": 0,
}


def web_source(*seeds: str, **knobs: Any) -> WebSource:
    """A source whose knobs are given flat and put into the group that has them."""
    return WebSource(seeds=seeds, **placed(WebSource, _QUICK | knobs))


def placed(model: type[BaseModel], flat: Mapping[str, Any]) -> dict[str, Any]:
    """Knobs where `model` or one of its groups has them. Raises KeyError for a name of none."""
    result: dict[str, Any] = {}
    for name, value in flat.items():
        group = _group(model, name)
        (result.setdefault(group, {}) if group else result)[name] = value
    return result


def _group(model: type[BaseModel], name: str) -> str:
    if name in model.model_fields:
        return ""
    for group, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel) and name in kind.model_fields:
            return group
    raise KeyError(f"{model.__name__} has no knob {name!r}, nor has one of its groups")
