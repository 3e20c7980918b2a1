"""What a stage made, or made before, held against the bounds that its configuration sets today."""

from __future__ import annotations

from collections.abc import Iterable

from storage.errors import GateFailed
from storage.manifest import CheckResult, Manifest, utc_now
from storage.store import Store
from tasks.checks import Check, Made, is_taken, judge
from tasks.config import Config
from tasks.stage import Stage


def check(
    stage: Stage, config: Config, made: Made, last: Made | None, *, sealed: bool = False
) -> tuple[CheckResult, ...]:
    """Hold what a build made against the configuration's bounds, and beside the last version.

    `last` is the newest sealed artifact of the same recipe before `made`, whatever it was
    configured with. Its own measures, for `max_rise` and `max_fall`, are taken as of a first
    version: those that compare with a version before have none. `sealed` says that `made` has been
    let through before: it is not asked for measures that were not taken in its day.
    """
    before = None if last is None else stage.measures(last, None)
    measured = stage.measures(made, last)
    checks: tuple[Check, ...] = dict(config).get("checks", ())
    asked = [c for c in checks if not sealed or is_taken(measured[c.measure])]
    return judge(asked, measured, before)


def judge_made(
    stage: Stage, config: Config, made: Made, last: Manifest | None
) -> tuple[CheckResult, ...]:
    """Judge a build that is not sealed yet, beside the recipe's last version."""
    return check(stage, config, made, None if last is None else Made.of(last))


def judge_hit(
    store: Store, stage: Stage, config: Config, hit: Manifest, recipe: str
) -> tuple[CheckResult, ...]:
    """Judge a sealed artifact, beside the version of the recipe before it."""
    last = store.latest(hit.name, recipe, before=hit)
    before = Made.of(last) if last is not None and last.stage == stage.name else None
    return check(stage, config, Made.of(hit), before, sealed=True)


def blocking(checks: Iterable[CheckResult]) -> list[str]:
    """Give what the blocking checks that do not hold say."""
    return [c.says for c in checks if c.severity == "block" and not c.passed]


def require_passed(label: str, instance: str, checks: Iterable[CheckResult]) -> None:
    """Raise GateFailed, with all reasons at once, if a blocking check does not hold."""
    failed = blocking(checks)
    if failed:
        lines = "\n".join(f"  {line}" for line in failed)
        raise GateFailed(
            f"{label} does not pass its blocking checks; expected all to hold:\n{lines}\n"
            f"`phusa show {instance}` prints them and where its files are. With other bounds, "
            f"the same command goes on without building it again; --force {instance} does build."
        )


def is_too_old(config: Config, manifest: Manifest) -> bool:
    """Say whether the configuration asks for a younger artifact than this one (`max_age_h`)."""
    max_age_h = dict(config).get("max_age_h")
    return max_age_h is not None and age_h(manifest) > max_age_h


def age_h(manifest: Manifest) -> float:
    """Count the hours since an artifact was sealed."""
    return (utc_now() - manifest.created).total_seconds() / 3600
