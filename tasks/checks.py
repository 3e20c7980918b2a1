"""Gates: measures of what a stage made, and the bounds that it must keep to become an artifact.

A stage declares its measures in `tasks/<stage>/checks.py` from counts alone, so a build can be
judged again, against other bounds, without being made again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, TypeVar

from pydantic import model_validator

from storage.manifest import CheckResult, Manifest
from tasks.config import Config, knob

CHECKS_SAY = (
    "gates: bounds on what this stage made. What is said here of a measure takes the place of all "
    "default checks of that measure; the other defaults stay (docs/gates.md)"
)


@dataclass(frozen=True)
class Made:
    """What a build says of itself: all that measures are taken from."""

    rows_in: int
    rows_out: int
    stats: Mapping[str, Any]

    @classmethod
    def of(cls, manifest: Manifest) -> Made:
        """What a sealed artifact said."""
        return cls(manifest.rows_in, manifest.rows_out, manifest.stats)


Take = Callable[[Made, Made | None], float | None]
"""From a build and the last version, if there is one, to a measure's value."""


@dataclass(frozen=True)
class Measure:
    """What a measure is, with its unit, what to do when it is out of bounds, and how it is taken.

    One that `compares` is itself a comparison with the last version, and has no value without one.
    `may_lack` says when another may be without a value, and passes; a build that should have one
    gives NaN.
    """

    says: str
    remedy: str
    take: Take
    compares: bool = False
    may_lack: str = ""


class Check(Config):
    """Bounds on one measure; each stage narrows `measure` to those it takes."""

    stage: ClassVar[str]
    about: ClassVar[Mapping[str, Measure]]

    measure: str = knob(..., "which of the stage's measures")
    min: float | None = knob(None, "least value that passes", allow_inf_nan=False)
    max: float | None = knob(None, "greatest value that passes", allow_inf_nan=False)
    max_rise: float | None = knob(
        None,
        "how far the value may lie above that of the recipe's last version, in the measure's own "
        "unit; not asked where there is no last version",
        ge=0,
        allow_inf_nan=False,
    )
    max_fall: float | None = knob(
        None,
        "how far it may lie below that of the last version; as `max_rise`",
        ge=0,
        allow_inf_nan=False,
    )
    severity: Literal["block", "warn"] = knob(
        "block", "block: a build that fails stays in quarantine. warn: it is said, and sealed"
    )

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Narrow `measure` to the names in `about`, before pydantic collects the fields.

        So they stand once, and are an enum in the form and in what refuses another name.
        """
        super().__init_subclass__(**kwargs)
        cls.__annotations__["measure"] = Literal[tuple(cls.about)]
        cls.measure = knob(..., "which of the stage's measures")

    @classmethod
    def measures(cls, made: Made, last: Made | None) -> dict[str, float | None]:
        """All measures of a build, beside those of the last version if there is one."""
        return {name: measure.take(made, last) for name, measure in cls.about.items()}

    @property
    def bounds(self) -> dict[str, float]:
        """The bounds that are set, by their names."""
        named = ("min", "max", "max_rise", "max_fall")
        return {name: bound for name in named if (bound := getattr(self, name)) is not None}

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if not self.bounds:
            raise ValueError("a check without a bound; expected min, max, max_rise or max_fall")
        if self.min is not None and self.max is not None and self.min > self.max:
            found = f"min {self.min:g} is above max {self.max:g}"
            raise ValueError(f"{found}; expected bounds that a value can pass")
        if self.about[self.measure].compares and {"max_rise", "max_fall"} & set(self.bounds):
            raise ValueError(
                f"`{self.measure}` is itself a comparison with the last version; expected min "
                "and max"
            )
        return self


C = TypeVar("C", bound=Check)


def with_defaults(defaults: tuple[C, ...]) -> Callable[[tuple[C, ...]], tuple[C, ...]]:
    """A validator that adds the `defaults` of every measure of which a recipe says nothing.

    So tightening one bound of a nightly recipe does not take its other gates away.
    """

    def complete(given: tuple[C, ...]) -> tuple[C, ...]:
        named = {check.measure for check in given}
        return tuple(check for check in defaults if check.measure not in named) + given

    return complete


def judge(
    checks: Sequence[Check],
    measured: Mapping[str, float | None],
    last: Mapping[str, float | None] | None,
) -> tuple[CheckResult, ...]:
    """Hold what was measured against the bounds; `last` are the measures of the last version.

    A value that is not finite never passes. Nor does one that is missing (None): a gate whose
    measure cannot be taken must not open by itself. Only a measure that compares with the last
    version, or is of something that a recipe can leave out, may be without a value, and passes.
    """
    before = last or {}
    return tuple(_judge(c, measured.get(c.measure), before.get(c.measure)) for c in checks)


def _judge(check: Check, value: float | None, last: float | None) -> CheckResult:
    last = _finite(last)
    broken = _broken(check, value, last)
    return CheckResult(
        measure=check.measure,
        value=_finite(value),  # JSON has neither NaN nor infinity; `says` names them
        last=last,
        bounds=check.bounds,
        severity=check.severity,
        passed=not broken,
        says=_failed(check, value, last, broken) if broken else _passed(check, value, last),
    )


def _broken(check: Check, value: float | None, last: float | None) -> list[str]:
    """What is wrong with the value, one phrase for each bound it breaks."""
    if value is None:
        about = check.about[check.measure]
        return [] if about.compares or about.may_lack else ["could not be taken"]
    if not math.isfinite(value):
        return ["is not a finite number"]
    distances = {"min": -value, "max": value}
    if last is not None:
        distances |= {"max_rise": value - last, "max_fall": last - value}
    phrases = {
        "min": "is below min {}",
        "max": "is above max {}",
        "max_rise": "rose by more than max_rise {}",
        "max_fall": "fell by more than max_fall {}",
    }
    return [
        phrases[name].format(_text(bound))
        for name, bound in check.bounds.items()
        if name in distances and _exceeds(distances[name], -bound if name == "min" else bound)
    ]


def _exceeds(value: float, bound: float) -> bool:
    """Whether value > bound by more than rounding: 0.8 - 0.7 does not exceed 0.1."""
    return value > bound and not math.isclose(value, bound, rel_tol=1e-9, abs_tol=1e-12)


def _failed(check: Check, value: float | None, last: float | None, broken: list[str]) -> str:
    shown = "" if value is None else f" {_text(value)}"
    remedy = check.about[check.measure].remedy
    return (
        f"{check.measure}{shown} {' and '.join(broken)}{_beside(last)}. {remedy}, or set other "
        f"bounds for {check.measure} in {check.stage}.checks."
    )


def _passed(check: Check, value: float | None, last: float | None) -> str:
    if value is None:
        why = check.about[check.measure].may_lack or "no last version to compare with"
        return f"{check.measure}: {why}"
    asked = ", ".join(
        f"{name} {_text(bound)}"
        for name, bound in check.bounds.items()
        if last is not None or name in ("min", "max")
    )
    keeps = f"keeps {asked}" if asked else "has no last version to be compared with"
    return f"{check.measure} {_text(value)} {keeps}{_beside(last)}"


def _beside(last: float | None) -> str:
    return "" if last is None else f" (last: {_text(last)})"


def _text(value: float) -> str:
    """Four digits, and no exponent where a count can be read."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e15 else f"{value:.4g}"


def is_taken(value: float | None) -> bool:
    """Whether a measure has a value that bounds can be asked of."""
    return value is not None and math.isfinite(value)


def _finite(value: float | None) -> float | None:
    return value if is_taken(value) else None


# What the stages' measures are made of. What a build should say of itself and does not is NaN,
# which passes no check; what a last version did not say yet is None: nothing to compare with.


def stat(made: Made, name: str) -> float:
    """A number of the build's stats; NaN if it is not there."""
    value = made.stats.get(name)
    return float(value) if isinstance(value, int | float) else math.nan


def counts(made: Made, name: str) -> Mapping[str, int] | None:
    """Counts by name in the build's stats; None if they are not there."""
    value = made.stats.get(name)
    return value if isinstance(value, Mapping) else None


def share(part: float, whole: float) -> float:
    """`part / whole`; NaN if there is no whole."""
    return part / whole if whole else math.nan


def change(now: float, before: float | None) -> float | None:
    """`now / before - 1`; None if there is no positive number before."""
    return now / before - 1 if before is not None and before > 0 else None


def relative(value: Callable[[Made], float]) -> Take:
    """How a value changed against that of the last version; 0 is no change."""
    return lambda made, last: change(value(made), None if last is None else value(last))


growth = relative(lambda made: made.rows_out)
