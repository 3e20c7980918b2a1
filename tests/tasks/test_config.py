"""Knobs: what is part of a fingerprint, and that every knob says what it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from flows.recipe import RECIPE
from flows.stages import STAGES
from storage.manifest import fingerprint
from tasks.clean.config import CleanConfig, Replacement, Sandbox
from tasks.clean.extractors import Resiliparse
from tasks.clean.filters import Length
from tasks.config import Config, Pattern, from_identity, identity, knob
from tasks.stage import Stage


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


# --- knobs that were added -----------------------------------------------------------------------


class Turbo(Diesel):
    """A diesel with knobs that it had not at first."""

    boost: float = knob(0.5, "bar", neutral=0.0)
    filters: tuple[str, ...] = knob(("soot",), "kinds of filters", neutral=[])


class Electric(Config):
    kind: Literal["electric"] = "electric"
    cells: int = knob(9, "cells", neutral=1)
    cooled: bool | None = knob(None, "whether cooled", neutral=None)


class Petrol(Config):
    kind: Literal["petrol"] = "petrol"
    octane: int = knob(95, "octane")


class Newer(Config):
    engine: Turbo = knob(Turbo(), "the engine")
    motor: Annotated[Electric | Petrol, Field(discriminator="kind")] = knob(Petrol(), "another")
    motors: tuple[Electric | Petrol, ...] = knob((), "more of them")
    spare: Turbo | None = knob(None, "maybe one more")
    age: int = knob(3, "years", neutral=0)


WITHOUT = {
    "engine": {"power": 3, "kind": "diesel"},
    "motor": {"kind": "electric"},
    "motors": [{"kind": "petrol", "octane": 98}, {"kind": "electric"}],
    "spare": {"power": 1, "kind": "diesel"},
}
"""What the identity of a `Newer` was before Turbo, Electric and it got their neutral knobs."""
PLAIN: dict[str, Any] = {"boost": 0, "filters": ()}
NEUTRAL = Newer(
    engine=Turbo(power=3, **PLAIN),
    motor=Electric(cells=1),
    motors=(Petrol(octane=98), Electric(cells=1)),
    spare=Turbo(**PLAIN),
    age=0,
)


def test_a_knob_that_is_neutral_leaves_the_fingerprint_as_it_was() -> None:
    assert identity(NEUTRAL) == WITHOUT
    assert fingerprint("s", 1, identity(NEUTRAL), {}) == fingerprint("s", 1, WITHOUT, {})
    set_otherwise = NEUTRAL.model_copy(update={"age": 3})  # its default, which is not neutral
    assert identity(set_otherwise) == {**WITHOUT, "age": 3}
    boosted = NEUTRAL.model_copy(update={"engine": Turbo(power=3)})
    assert identity(boosted)["engine"] == {
        "power": 3, "kind": "diesel", "boost": 0.5, "filters": ["soot"],
    }  # fmt: skip


def test_what_identity_kept_is_read_with_neutral_values() -> None:
    """At every depth: in groups, in members of unions, in items of tuples."""
    assert from_identity(Newer, WITHOUT) == NEUTRAL
    for config in (NEUTRAL, Newer(), Newer(motors=(Electric(), Petrol()), motor=Electric())):
        assert from_identity(Newer, identity(config)) == config
    assert from_identity(Car, {"colour": "blue"}) == Car(colour="blue")
    with pytest.raises(ValidationError):
        from_identity(Newer, {"gone": 1})


def test_a_neutral_value_is_one_of_the_knob() -> None:
    for model in REACHABLE:
        for name, field in model.model_fields.items():
            said = field.json_schema_extra
            if isinstance(said, dict) and "neutral" in said:
                adapter = TypeAdapter(_with_bounds(field.annotation, field.metadata))
                value = adapter.validate_python(said["neutral"])
                assert adapter.dump_python(value, mode="json") == said["neutral"], name


@pytest.mark.parametrize(
    "stage", [s for s in STAGES.values() if s.name != "crawl"], ids=lambda stage: stage.name
)
def test_every_stage_is_read_back_from_its_identity(stage: Stage) -> None:
    config = stage.config()
    assert identity(from_identity(stage.config, identity(config))) == identity(config)


# --- all knobs ----------------------------------------------------------------------------------


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
    with pytest.raises(ValidationError, match="expected a regular expression"):
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


REACHABLE = sorted(set(_configs_in(RECIPE)), key=lambda model: f"{model.__module__}.{model}")


def test_the_walk_reaches_every_stage() -> None:
    assert {Sandbox, Length, Resiliparse} < set(REACHABLE)
    assert {stage.config for stage in STAGES.values()} < set(REACHABLE)


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
    return Annotated[annotation, *metadata] if metadata else annotation
