"""Weights & Biases. Credentials and mode come from its own environment variables (WANDB_API_KEY,
WANDB_BASE_URL, WANDB_MODE=offline), never from a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from tasks.config import knob
from tasks.lm.tracking.logbook import Entry, Installable, Sink, TrackedRun


class WandB(Installable):
    """A run of a W&B project."""

    package: ClassVar[str | None] = "wandb"

    kind: Literal["wandb"] = "wandb"
    project: str = knob("phusa", "the project", min_length=1)
    entity: str | None = knob(None, "the team or user; null: W&B's default for the key in use")

    def open(self, run: TrackedRun) -> Sink | None:
        return _Run(self.project, self.entity, run)


class _Run:
    """A run that keeps its id, and the last step that it was given.

    W&B itself knows its last step only where it is online, and takes no step twice.
    """

    def __init__(self, project: str, entity: str | None, run: TrackedRun) -> None:
        import wandb

        # Silent, it never asks a terminal for a key: without one, it raises.
        settings = wandb.Settings(silent=True, console="off", disable_git=True, save_code=False)
        wandb.setup(settings)
        if run.folder is not None:
            run.folder.mkdir(parents=True, exist_ok=True)
        self._mark = run.state / "wandb-last-step"
        self._shown = int(self._mark.read_text()) if self._mark.exists() else -1
        self._run: Any = wandb.init(
            project=project,
            entity=entity,
            id=run.id,
            name=run.name,
            group=run.recipe,
            resume="allow",
            config=dict(run.config),
            dir=None if run.folder is None else str(run.folder),
            settings=settings,
        )

    def log(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if entry.final:
                self._run.summary.update(dict(entry.values))
            elif entry.step > self._shown:
                self._run.log(dict(entry.values), step=entry.step)
                self._shown = entry.step
        self._mark.write_text(str(self._shown))

    def close(self, *, finished: bool) -> None:
        import wandb

        self._run.finish(exit_code=0 if finished else 1)
        wandb.teardown()  # its service process would stay as long as this one
