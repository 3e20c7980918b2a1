"""Knobs: what is part of a fingerprint, and that every knob says what it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from flows.recipe import Recipe
from tasks.clean.config import CleanConfig, Replacement, Sandbox
from tasks.clean.extractors import Resiliparse
from tasks.clean.filters import Length
from tasks.config import Config, Pattern, identity, knob


class Engine(Config):
    power: int = knob(1, "horses", ge=1)
    threads: int = knob(4, "threads", identity=False)


class Diesel(Engine):
    kind: str = "diesel"


class Car(Config):
    engine: Engine = knob(Engine(), "the engine")
    spares: tuple[Engine, ...] = knob((), "more engines")
    radio: Engine = knob(Engine(), "irrelevant to where it goes", identity=False)
    colour: str = knob("red", "paint", source="a page")
    wheels: tuple[tuple[int, ...], ...] = knob(((1, 2), (3,)), "wheels")
    best: Engine | None = knob(None, "maybe an engine")


def test_identity_drops_what_decides_only_how_at_every_depth() -> None:
    car = Car(engine=Diesel(power=3), spares=(Engine(power=7), Diesel()), best=Engine(power=9))
    assert identity(car) == {
        "engine": {"power": 3, "kind": "diesel"},
        "spares": [{"power": 7}, {"power": 1, "kind": "diesel"}],
        "colour": "red",
        "wheels": [[1, 2], [3]],
        "best": {"power": 9},
    }


def test_identity_is_json_and_blind_to_worker_counts() -> None:
    one = Car(engine=Engine(threads=1), spares=(Engine(threads=2),), radio=Engine(power=8))
    other = Car(engine=Engine(threads=9), spares=(Engine(threads=3),))
    assert identity(one) == identity(other)
    assert json.loads(json.dumps(identity(one))) == identity(one)
    assert identity(Car(colour="blue")) != identity(Car())


def test_identity_of_a_union_names_the_member() -> None:
    plain = identity(CleanConfig(extractor=Resiliparse(), filters=(Length(min_words=3),)))
    assert plain["extractor"] == {"kind": "resiliparse", "main_content": True}
    assert plain["filters"] == [{"kind": "length", "min_words": 3, "max_words": 100_000}]


def test_a_knob_holds_its_description_source_bounds_and_identity() -> None:
    fields = Car.model_fields
    assert fields["colour"].description == "paint"
    assert fields["colour"].json_schema_extra == {"identity": True, "source": "a page"}
    assert fields["radio"].json_schema_extra == {"identity": False}
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        Engine(power=0)


def test_a_config_is_frozen_and_refuses_unknown_knobs() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Engine().power = 2  # type: ignore[misc]
    with pytest.raises(ValidationError, match="Extra inputs"):
        Engine.model_validate({"powr": 2})


def test_a_pattern_is_checked_when_it_is_read() -> None:
    assert TypeAdapter(Pattern).validate_python(r"^\d+$") == r"^\d+$"
    with pytest.raises(ValidationError, match="not a regular expression"):
        TypeAdapter(Pattern).validate_python("(")


@pytest.mark.parametrize("text", [r"\1", r"\g<name>", "\\"])
def test_a_replacement_that_does_not_fit_its_pattern_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="does not fit"):
        Replacement(pattern="a", text=text)
    assert Replacement(pattern="(a)(?P<name>b)", text=r"\1\g<name>").text == r"\1\g<name>"


def _configs_in(annotation: Any) -> Iterator[type[Config]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        assert issubclass(annotation, Config), f"{annotation} is a model but no Config"
        yield annotation
        for field in annotation.model_fields.values():
            yield from _configs_in(field.annotation)
    for part in getattr(annotation, "__args__", ()):
        yield from _configs_in(part)


REACHABLE = sorted(set(_configs_in(Recipe)), key=lambda model: f"{model.__module__}.{model}")


def test_the_walk_reaches_every_stage() -> None:
    assert {Sandbox, Length, Resiliparse} < set(REACHABLE)
    stages = {model.__module__.split(".")[1] for model in REACHABLE if model is not Recipe}
    assert {"crawl", "clean", "dedup", "tokenizer", "shard", "pretrain", "finetune"} <= stages


@pytest.mark.parametrize("model", REACHABLE, ids=lambda model: model.__name__)
def test_every_knob_says_what_it_is(model: type[Config]) -> None:
    assert (model.__doc__ or "").strip(), f"{model.__name__} has no docstring"
    for name, field in model.model_fields.items():
        if name == "kind":  # the tag of a union's member
            assert field.default == field.annotation.__args__[0]  # type: ignore[union-attr]
            continue
        where = f"{model.__name__}.{name}"
        assert (field.description or "").strip(), f"{where} has no description"
        assert isinstance(field.json_schema_extra, dict), f"{where} is not made by knob()"
        assert isinstance(field.json_schema_extra["identity"], bool), where


@pytest.mark.parametrize("model", REACHABLE, ids=lambda model: model.__name__)
def test_every_default_passes_its_own_bounds(model: type[Config]) -> None:
    for name, field in model.model_fields.items():
        if field.is_required():
            continue
        adapter = TypeAdapter(_with_bounds(field.annotation, field.metadata))
        default = field.get_default(call_default_factory=True)
        assert adapter.validate_python(default) == default, f"{model.__name__}.{name}"


def _with_bounds(annotation: Any, metadata: list[Any]) -> Any:
    from typing import Annotated

    return Annotated[annotation, *metadata] if metadata else annotation
