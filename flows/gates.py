"""What a stage made, or made before, held against the bounds that its configuration sets today."""

from __future__ import annotations

from collections.abc import Iterable

from flows.stages import Stage, check
from storage.errors import GateFailed
from storage.manifest import CheckResult, Manifest
from storage.store import Store
from tasks.checks import Made
from tasks.config import Config


def judge_made(
    stage: Stage, config: Config, made: Made, last: Manifest | None
) -> tuple[CheckResult, ...]:
    """The checks of a build that is not sealed yet, beside the recipe's last version."""
    return check(stage, config, made, None if last is None else Made.of(last))


def judge_hit(
    store: Store, stage: Stage, config: Config, hit: Manifest, recipe: str
) -> tuple[CheckResult, ...]:
    """The checks of a sealed artifact, beside the version of the recipe before it."""
    last = store.latest(stage.name, recipe, before=hit)
    before = None if last is None else Made.of(last)
    return check(stage, config, Made.of(hit), before, sealed=True)


def blocking(checks: Iterable[CheckResult]) -> list[str]:
    """What the blocking checks that do not hold say."""
    return [c.says for c in checks if c.severity == "block" and not c.passed]


def require_passed(label: str, stage: Stage, checks: Iterable[CheckResult]) -> None:
    """Raise GateFailed, with all reasons at once, if a blocking check does not hold."""
    failed = blocking(checks)
    if failed:
        lines = "\n".join(f"  {line}" for line in failed)
        raise GateFailed(
            f"{label} does not pass its blocking checks; expected all to hold:\n{lines}\n"
            f"`phusa show {stage.name}` prints them and where its files are. With other bounds, "
            f"the same command goes on without building it again; --force {stage.name} does build."
        )
