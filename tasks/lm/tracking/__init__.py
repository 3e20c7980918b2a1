"""Where the figures of a training are shown while it runs. A new one: a module here with a typed
config, and one line below. What a tracker does wrong never stops a training: see logbook.py."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from tasks.lm.tracking.mlflow import MLflow
from tasks.lm.tracking.tensorboard import TensorBoard
from tasks.lm.tracking.wandb import WandB

Tracker = Annotated[TensorBoard | MLflow | WandB, Field(discriminator="kind")]


def _each_once(trackers: tuple[Tracker, ...]) -> tuple[Tracker, ...]:
    kinds = [tracker.kind for tracker in trackers]
    if len(set(kinds)) < len(kinds):
        raise ValueError(f"{', '.join(kinds)}: expected each kind of tracker once at most")
    return trackers


Trackers = Annotated[tuple[Tracker, ...], AfterValidator(_each_once)]
TRACKING_SAYS = (
    "where the figures of every step are shown: TensorBoard files, an MLflow server, Weights & "
    "Biases. One that fails is left out, and training goes on"
)

__all__ = ["MLflow", "TRACKING_SAYS", "TensorBoard", "Tracker", "Trackers", "WandB"]
