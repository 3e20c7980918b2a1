"""How a run ended: what was made, dropped, and kept from being made; and what to do next.

The console, `phusa run --json` and the run's page in the UI say the same, from here.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flows.parameters import StageResult
from flows.stages import STAGES, open_artifact, type_of
from storage.errors import GateFailed, Interrupted, PhusaError
from storage.manifest import Manifest
from storage.store import Store
from tasks.artifacts.artifact import Artifact

GO_ON = (
    "Do what the error says, then start the same run again: what is sealed is reused, and "
    "unfinished work goes on where it stopped."
)


@dataclass(frozen=True)
class Ending:
    """What became of each instance that was to run: `not_run` says why."""

    made: Sequence[StageResult] = ()
    failed: Mapping[str, Exception] = field(default_factory=dict)
    not_run: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, error: BaseException) -> Ending:
        """Give how a pipeline ended that raised this error."""
        found: Ending = getattr(error, "ending", cls())
        return found

    @property
    def is_stopped(self) -> bool:
        """Say whether somebody asked the run to stop."""
        return any(isinstance(error, Interrupted) for error in self.failed.values())

    def rows(self, store: Store) -> list[dict[str, Any]]:
        """Tell all of it as JSON, a row for each instance."""
        made = [_row(one, store.manifest(one.name, one.version)) for one in self.made]
        failed = [
            {"instance": name, "action": "failed", "error": _as_json(error)}
            for name, error in self.failed.items()
        ]
        kept = [{"instance": n, "action": "not_run", "reason": w} for n, w in self.not_run.items()]
        return [*made, *failed, *kept]


def _row(result: StageResult, manifest: Manifest) -> dict[str, Any]:
    return {
        "instance": result.instance,
        "stage": result.stage,
        "artifact": result.label,
        "action": "reused" if result.reused else "built",
        "reason": result.reason,
        "rows_in": result.rows_in,
        "rows_out": result.rows_out,
        "amount": type_of(manifest).amount(manifest),
        "dropped": drops(manifest),
        "bytes": result.num_bytes,
        "seconds": result.seconds,
    }


def _as_json(error: Exception) -> dict[str, Any]:
    if isinstance(error, PhusaError):
        return error.as_json()
    return {"code": type(error).__name__, "says": str(error), "faults": []}


def drops(manifest: Manifest) -> dict[str, int]:
    """Count rows that were dropped by reason, the most frequent first."""
    stage = STAGES.get(manifest.stage)
    return stage.dropped(manifest) if stage else {}


# --- what to do next ------------------------------------------------------------------------------


def next_commands(store: Store, ending: Ending, promoted: Collection[str] = ()) -> list[str]:
    """Name the commands that look at what a run made or kept out, and use what it made.

    `promoted` are the labels of what an alias means already.
    """
    made = [open_artifact(store, store.manifest(one.name, one.version)) for one in ending.made]
    models = [one for one in made if one.type.form == "model"]
    lines = [f"phusa show {n}" for n, e in ending.failed.items() if isinstance(e, GateFailed)]
    if not (models or ending.failed):
        lines += [f"phusa show {one.label}" for one in made[-1:]]
    looked_at = made if ending.failed or not models else filter(_lost_most, made)
    lines += [line for one in looked_at for line in look_at_drops(one)]
    for model in models:
        asked = "QUESTION" if model.type.chats else "PROMPT"
        lines.append(f'phusa sample {model.label} "{asked}"')
        if not ending.failed:
            new = model.label not in promoted
            lines += [f"phusa promote {model.label} prod"] if new else []
            lines.append(f"phusa export {model.label} ./{model.manifest.name}")
    return list(dict.fromkeys(lines))


def _lost_most(artifact: Artifact) -> bool:
    manifest = artifact.manifest
    return sum(drops(manifest).values()) > manifest.rows_in / 2


def look_at_drops(artifact: Artifact) -> Iterator[str]:
    """Name the commands that show what an artifact left out, and why."""
    if artifact.has("rejects") and drops(artifact.manifest):
        yield f"phusa head {artifact.label} --dropped"
    if artifact.has("signals/"):
        yield f"phusa clean funnel {artifact.label} --by language"
    if artifact.has("duplicates.parquet"):
        yield f"phusa dedup top --of {artifact.label}"


def export(store_address: str) -> str:
    """Write what lets the commands after it find the store."""
    return f"export PHUSA_STORE={shlex.quote(store_address)}"
