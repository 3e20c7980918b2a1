"""Gates: what bounds mean, and that every stage declares its checks the same way."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from flows.gates import check
from flows.recipe import RECIPE, load_recipe
from flows.reference import gates, reference
from flows.stages import STAGES
from storage.errors import RequestError
from storage.manifest import CheckResult
from tasks.checks import Check, Made, Measure, change, growth, judge, share, with_defaults
from tasks.config import identity, models_in
from tasks.stage import Stage
from tests.conftest import ROOT

CRAWL = {"source": {"kind": "web", "seeds": ["http://a.example/"], "contact": "me@a.example"}}


class ToyCheck(Check):
    """Bounds on a toy."""

    stage = "toy"
    about: ClassVar = {
        "rate": Measure("a share", "Oil toy.wheels", lambda made, _: share(made.rows_out, 10)),
        "growth": Measure("a change", "Feed it", growth, compares=True),
    }


def toy(measure: Literal["rate", "growth"] = "rate", **bounds: Any) -> ToyCheck:
    return ToyCheck(measure=measure, **bounds)


def judged(check: Check, value: float | None, last: float | None = None) -> CheckResult:
    before = None if last is None else {check.measure: last}
    (result,) = judge([check], {check.measure: value}, before)
    return result


# Decimals of three places: differences that matter are then far above rounding.
decimals = st.integers(-3000, 3000).map(lambda n: n / 1000)
distances = st.integers(0, 3000).map(lambda n: n / 1000)


@given(decimals, decimals)
@example(0.5, 0.5)
def test_min_and_max_include_their_bound(value: float, bound: float) -> None:
    assert judged(toy(min=bound), value).passed == (value >= bound)
    assert judged(toy(max=bound), value).passed == (value <= bound)


@given(decimals, decimals, distances)
@example(0.8, 0.7, 0.1)  # 0.8 - 0.7 is 0.10000000000000009
@example(0.7, 0.8, 0.1)
def test_rise_and_fall_are_differences_to_the_last_version(
    value: float, last: float, distance: float
) -> None:
    thousandths = round(value * 1000) - round(last * 1000)
    risen, fallen = (
        judged(toy(max_rise=distance), value, last),
        judged(toy(max_fall=distance), value, last),
    )
    assert risen.passed == (thousandths <= round(distance * 1000))
    assert fallen.passed == (-thousandths <= round(distance * 1000))
    assert (risen.value, risen.last, risen.bounds) == (value, last, {"max_rise": distance})


@given(decimals, st.none() | st.sampled_from([math.nan, math.inf]))
def test_rise_and_fall_are_not_asked_without_a_last_version(
    value: float, last: float | None
) -> None:
    result = judged(toy(max_rise=0, max_fall=0), value, last)
    assert result.passed and result.last is None


@given(st.sampled_from([math.nan, math.inf, -math.inf]), st.sampled_from(["rate", "growth"]))
def test_what_is_not_finite_never_passes(value: float, measure: Literal["rate", "growth"]) -> None:
    for bounds in ({"min": -1e308}, {"max": 1e308}, {"min": 1.0, "max": 2.0}):
        result = judged(toy(measure, **bounds), value, 1.0)
        assert not result.passed and result.value is None
        assert str(value) in result.says and "is not a finite number" in result.says
        assert CheckResult.model_validate_json(result.model_dump_json()) == result


def test_what_is_missing_passes_only_where_there_is_nothing_to_compare_with() -> None:
    assert not judged(toy(min=-9), None).passed
    assert "rate could not be taken. Oil toy.wheels" in judged(toy(min=-9), None).says
    assert judged(toy("growth", min=-0.5), None).passed
    assert judge([toy(max=1)], {}, None)[0].passed is False


def test_a_failure_says_value_bounds_last_and_remedy_on_one_line() -> None:
    both = judged(toy(max=0.95, max_rise=0.1), 0.97, 0.08)
    assert both.says == (
        "rate 0.97 is above max 0.95 and rose by more than max_rise 0.1 (last: 0.08). "
        "Oil toy.wheels, or set other bounds for rate in toy.checks."
    )
    assert "is below min 1,000." in judged(toy(min=1000), 12).says
    assert "fell by more than max_fall 0.2 (last: 1)" in judged(toy(max_fall=0.2), 0.5, 1.0).says
    assert judged(toy(max=0.95, max_rise=0.1), 0.1, 0.08).says == (
        "rate 0.1 keeps max 0.95, max_rise 0.1 (last: 0.08)"
    )


def test_what_passes_names_only_the_bounds_that_were_asked() -> None:
    assert judged(toy(max=0.95, max_rise=0.1), 0.1).says == "rate 0.1 keeps max 0.95"
    assert judged(toy(max_fall=0.1), 0.1).says == "rate 0.1 has no last version to be compared with"
    assert judged(toy("growth", min=0), None).says == "growth: no last version to compare with"


def test_severity_decides_nothing_of_whether_it_passed() -> None:
    for severity in ("block", "warn"):
        result = judged(toy(max=1, severity=severity), 2)
        assert (result.severity, result.passed) == (severity, False)


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ({}, "without a bound"),
        ({"severity": "warn"}, "without a bound"),
        ({"min": 2, "max": 1}, "min 2 is above max 1"),
        ({"max": math.nan}, "finite"),
        ({"min": -math.inf}, "finite"),
        ({"max_rise": -0.1}, "greater than or equal to 0"),
        ({"max_fall": -0.1}, "greater than or equal to 0"),
        ({"max": 1, "severity": "loud"}, "'block' or 'warn'"),
    ],
)
def test_checks_that_mean_nothing_are_refused(bounds: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        toy(**bounds)


@pytest.mark.parametrize("bound", ["max_rise", "max_fall"])
def test_a_comparison_is_not_compared_again(bound: str) -> None:
    with pytest.raises(ValidationError, match="itself a comparison"):
        toy("growth", min=-0.5, **{bound: 0.1})


def test_what_a_recipe_says_of_a_measure_replaces_its_defaults_alone() -> None:
    defaults = (toy(max=1), toy(max=0.5, severity="warn"), toy("growth", min=0))
    complete = with_defaults(defaults)
    assert complete(()) == defaults
    assert complete((toy(max=3),)) == (defaults[2], toy(max=3))
    assert complete(complete((toy(max=3),))) == complete((toy(max=3),))  # read twice by Prefect
    assert complete(defaults) == defaults


def test_what_measures_are_made_of() -> None:
    assert share(1, 4) == 0.25 and math.isnan(share(1, 0))
    assert change(3, 2) == 0.5 and change(3, None) is None
    assert change(3, 0) is None and change(3, math.nan) is None
    assert math.isnan(change(math.nan, 2) or 0)


# Every stage alike.

STAGE = pytest.mark.parametrize("stage", STAGES.values(), ids=list(STAGES))


def check_type(stage: Stage) -> type[Check]:
    (model,) = models_in(stage.config.model_fields["checks"].annotation)
    assert issubclass(model, Check)
    return model


def config_of(stage: Stage, **knobs: Any) -> Any:
    raw = {"name": "x", "crawl": CRAWL}
    raw[stage.name] = {**(CRAWL if stage.name == "crawl" else {}), **knobs}
    return RECIPE.model_validate(raw).config(stage)


@STAGE
def test_every_measure_is_named_described_and_taken(stage: Stage) -> None:
    model = check_type(stage)
    assert model.stage == stage.name
    named = get_args(model.model_fields["measure"].annotation)
    assert set(named) == set(model.about) and len(named) == len(set(named))
    made = Made(10, 5, {})
    for last in (None, made):
        assert set(stage.measures(made, last)) == set(named)


@STAGE
def test_growth_compares_rows_out_or_parameters(stage: Stage) -> None:
    assert stage.measures(sized(5), None)["growth"] is None
    assert stage.measures(sized(5), sized(10))["growth"] == -0.5


def sized(size: int) -> Made:
    """A build of so many rows, or, as a model is one, so many parameters."""
    return Made(10, size, dict.fromkeys(("parameters", "trainable_parameters"), size))


@STAGE
def test_only_comparisons_and_new_measures_may_be_without_a_value(
    stage: Stage,
) -> None:
    """A build that says nothing of itself passes no check that it should have been measured by."""
    about = check_type(stage).about
    for name, value in stage.measures(Made(10, 5, {}), None).items():
        one = about[name]
        assert value is None if one.compares else value is not None or one.may_lack, name


@STAGE
def test_defaults_ask_something_and_bear_being_read(stage: Stage) -> None:
    config = config_of(stage)
    assert config.checks == stage.config.model_fields["checks"].default
    assert config.checks, "no gate at all"
    assert type(config).model_validate_json(config.model_dump_json()) == config
    seen = [(c.measure, c.severity) for c in config.checks]
    assert len(seen) == len(set(seen)), "two checks of one severity on one measure: write one"


@STAGE
def test_bounds_are_no_part_of_the_fingerprint(stage: Stage) -> None:
    usual, other = config_of(stage), config_of(stage, checks=[{"measure": "growth", "min": 7}])
    assert usual.checks != other.checks
    assert identity(usual) == identity(other) and "checks" not in identity(usual)
    digests = dict.fromkeys((port.key for port in stage.ports), "0")
    assert stage.fingerprint(usual, digests) == stage.fingerprint(other, digests)


@STAGE
def test_a_stage_is_judged_by_its_bounds_beside_the_last_version(stage: Stage) -> None:
    config = config_of(stage, checks=[{"measure": "growth", "min": -0.4}])
    for rows, passed in ((6, True), (5, False)):
        results = check(stage, config, sized(rows), sized(10))
        (found,) = [result for result in results if result.measure == "growth"]
        assert found.passed == passed
    assert len(results) == len(config.checks)


@STAGE
def test_a_sealed_one_is_not_asked_what_was_not_measured_in_its_day(stage: Stage) -> None:
    config = config_of(stage, checks=[{"measure": "growth", "min": 3}])
    made, last = sized(5), sized(10)
    assert any(r.value is None and not r.passed for r in check(stage, config, made, last))
    sealed = check(stage, config, made, last, sealed=True)
    assert all(result.value is not None for result in sealed)
    assert [r.passed for r in sealed if r.measure == "growth"] == [False]  # what it says counts


def test_rise_is_taken_from_what_the_last_version_said() -> None:
    config = config_of(STAGES["clean"], checks=[{"measure": "drop_rate", "max_rise": 0.1}])
    results = check(STAGES["clean"], config, Made(100, 50, {}), Made(100, 80, {}))
    (found,) = [result for result in results if result.measure == "drop_rate"]
    assert (found.value, found.last, found.passed) == (0.5, 0.2, False)


def _knobs(models: list[Any], path: list[str]) -> bool:
    """Whether the dotted path names a knob of one of the models."""
    if not path:
        return True
    fields = [m.model_fields[path[0]] for m in models if path[0] in m.model_fields]
    return any(_knobs(list(models_in(field.annotation)), path[1:]) for field in fields)


def _remedies() -> Iterator[tuple[str, str]]:
    for stage in STAGES.values():
        for name, about in check_type(stage).about.items():
            yield f"{stage.name}.{name}", about.remedy


@pytest.mark.parametrize(("name", "remedy"), list(_remedies()))
def test_a_remedy_goes_into_a_sentence_and_names_knobs_that_exist(name: str, remedy: str) -> None:
    assert remedy and remedy[0].isupper() and not remedy.endswith(".") and "\n" not in remedy
    for knob_ in re.findall(rf"\b(?:{'|'.join(STAGES)})\.[a-z_.]*[a-z]", remedy):
        assert _knobs([RECIPE], knob_.split(".")), f"{name}: {knob_}"


# In the recipe and in the documentation.


def faults(tmp_path: Path, clean: Any) -> str:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({"name": "x", "crawl": CRAWL, "clean": clean}))
    with pytest.raises(RequestError) as caught:
        load_recipe(path)
    return str(caught.value)


def test_an_unknown_measure_names_the_known_ones(tmp_path: Path) -> None:
    said = faults(tmp_path, {"checks": [{"measure": "drop_rat", "max": 1}]})
    assert 'clean.checks.0.measure: found "drop_rat"' in said
    assert all(name in said for name in check_type(STAGES["clean"]).about)


def test_wrong_checks_are_named_with_their_place(tmp_path: Path) -> None:
    wrong = [{"measure": "drop_rate"}, {"measure": "growth", "max_rise": 1}, {"measure": "growth"}]
    said = faults(tmp_path, {"checks": [*wrong, {"measure": "drop_rate", "maximum": 1}]})
    assert "clean.checks.0" in said and "without a bound" in said
    assert "clean.checks.1" in said and "itself a comparison" in said
    assert "unknown key `maximum`" in said and "Did you mean `max`?" in said


def test_a_bound_is_set_for_one_run(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({"name": "x", "crawl": CRAWL}))
    (override,) = re.findall(r'--set "([^"]+)"', (ROOT / "docs" / "gates.md").read_text())
    config: Any = load_recipe(path, [override]).config(STAGES["clean"])
    (found,) = [c for c in config.checks if c.measure == "drop_rate"]
    assert found.bounds == {"max": 0.99}


def test_the_page_on_gates_says_what_is_checked() -> None:
    assert gates() in (ROOT / "docs" / "gates.md").read_text(), (
        "print(flows.reference.gates()) is not in it"
    )


def test_the_bounds_in_the_page_on_gates_are_a_recipe() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "gates.md").read_text(), re.S)
    recipe = RECIPE.model_validate({"name": "x", "crawl": CRAWL, **yaml.safe_load(block)})
    checks = recipe.config(STAGES["clean"]).checks  # type: ignore[attr-defined]
    assert checks[-1].measure == "top_language_share"
    assert {"drop_rate", "no_text_rate"} < {c.measure for c in checks}


def test_the_reference_shows_every_measure_with_its_default_bounds() -> None:
    page = reference()
    for stage in STAGES.values():
        assert f"### `{stage.name}.checks`" in page
        for name in check_type(stage).about:
            assert f"| `{name}` |" in page
    assert "became no document | ≤ 0.98, rises by ≤ 0.5 | rises by ≤ 0.1 |" in page
    assert "| `checks.severity` |" in page
