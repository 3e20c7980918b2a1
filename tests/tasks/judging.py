"""What a stage's default checks say, for the tests of all stages."""

from __future__ import annotations

from typing import Any

from flows.stages import STAGES
from tasks.checks import Made, judge


def broken(stage: str, made: Made, last: Made | None = None) -> set[str]:
    """The default checks that do not hold, as `severity measure`."""
    measures = STAGES[stage].measures
    defaults: Any = STAGES[stage].config.model_fields["checks"].default
    before = None if last is None else measures(last, None)
    results = judge(defaults, measures(made, last), before)
    return {f"{r.severity} {r.measure}" for r in results if not r.passed}


def changed(
    made: Made, rows_in: int | None = None, rows_out: int | None = None, **stats: Any
) -> Made:
    """The same build with other figures."""
    return Made(rows_in or made.rows_in, rows_out or made.rows_out, {**made.stats, **stats})
