"""The training loop. Batch, rate and update of a step are pure functions of the state before it, so
a run that is killed and goes on ends with the weights of one that was not."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any, ClassVar, Protocol

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.optim import Optimizer

from storage.errors import TrainingDiverged
from storage.workspace import Workspace
from tasks.lm.config import ComputeConfig, rate_factor
from tasks.lm.device import count_devices, set_up
from tasks.lm.distributed.launch import launch
from tasks.lm.distributed.world import ALONE, World
from tasks.lm.optimizer import set_rates
from tasks.lm.snapshot import Snapshots
from tasks.lm.tracking import Trackers
from tasks.lm.tracking.logbook import Logbook, TrackedRun, check_packages
from tasks.progress import Bar, note, track


class TrainingConfig(Protocol):
    """The knobs that every training has."""

    @property
    def compute(self) -> ComputeConfig: ...
    @property
    def checkpoint_steps(self) -> int: ...
    @property
    def tracking(self) -> Trackers: ...


class TrainingJob(BaseModel, ABC):
    """What is trained, from what, and where it is built; it travels to the ranks."""

    model_config = ConfigDict(frozen=True)

    config: Any
    work: Path
    tracking: Path | None = None

    @abstractmethod
    def training(self, world: World) -> Training:
        """Get ready to take part as one process of `world`."""

    def check_shares(self, num_devices: int) -> None:
        """Raise RequestError where `num_devices` are too many for a batch."""

    def do_part(self, world: World) -> dict[str, Any]:
        """Do what one process of `world` does; the one that leads writes. Returns the figures."""
        workspace, training = Workspace(self.work), self.training(world)
        knobs = self.config.model_dump(mode="json", exclude={"checks", "tracking"})
        tracked = TrackedRun.of(training.stage, self.work, self.tracking, knobs)
        training.run(workspace.scratch / "snapshots", tracked)
        if world.leads:
            training.write(workspace)
        return training.stats


def carry_out(job: TrainingJob) -> dict[str, Any]:
    """Train on as many devices as the job is configured for; returns the run's figures.

    Raises what the training raises, and RequestError for more devices than there are, or than a
    batch can be shared out among.
    """
    num_devices = count_devices(job.config.compute)
    if num_devices == 1:
        return job.do_part(ALONE)
    job.check_shares(num_devices)
    log = Workspace(job.work).scratch / "ranks.log"
    stats: dict[str, Any] = launch(job, job.config.compute, log)
    return stats


class Training(ABC):
    """One training as one process of `world` takes part in it. All processes take the same steps.

    What it trains, and how many steps, is set by whoever derives from it. `history` has the step
    (from 1), the loss and the rate factor of every step that was taken; `score` is the bits per
    byte of what was held out after the last, `score_before`, if `scores_before`, before the first.
    """

    stage: ClassVar[str]
    scored_on: ClassVar[str]
    """What is held out: `validation`, for one."""
    scores_before: ClassVar[bool] = False
    unit: ClassVar[str]
    step_units: int = 1
    """Units of the bar that a step is."""
    remedy: ClassVar[str]
    """What to do where the loss is no number."""

    model: nn.Module
    """Snapshots hold those of its parameters that are trained."""
    optimizers: Sequence[Optimizer]
    peak_rate: float
    num_steps: int
    warmup: float
    cooldown: float
    """Shares of the steps (0-1)."""

    def __init__(self, config: TrainingConfig, world: World) -> None:
        """Raise RequestError if a tracker is not installed, or the device is not there."""
        check_packages(config.tracking)
        self.world = world
        self.compute = set_up(config.compute, world)
        self.history: list[dict[str, float]] = []
        self.score = self.score_before = self.tokens_per_second = 0.0
        self._tracking, self._checkpoint_steps = config.tracking, config.checkpoint_steps

    @abstractmethod
    def take_step(self, step: int) -> float:
        """Take a step (from 0); returns the mean loss over the batch's targets, in nats."""

    @abstractmethod
    def num_tokens(self, step: int) -> int:
        """How many tokens a step (from 0) reads."""

    @abstractmethod
    def evaluate(self) -> float:
        """Bits per byte of what was held out."""

    @abstractmethod
    def write(self, workspace: Workspace) -> None:
        """Write what came out; ends the training."""

    @property
    @abstractmethod
    def stats(self) -> dict[str, Any]:
        """The figures of the run."""

    def run(self, snapshots: Path, tracked: TrackedRun | None = None) -> None:
        """Take all steps from the newest snapshot on, also one of another number of processes.

        Raises TrainingDiverged if a loss or the score is not finite, and what the progress bars
        raise, after a snapshot of the last finished step.
        """
        if self.scores_before:
            self.score_before = self.evaluate()
        self._snapshots = Snapshots(snapshots)
        first, self.history = self._snapshots.load(self.model, self.optimizers)
        shown = replace(tracked, first_step=first) if tracked and self.world.leads else None
        name = f"{self.scored_on.replace('-', '_')}_bits_per_byte"
        with Logbook(self._tracking, shown) as log:
            if self.scores_before and not first:
                log.add(0, **{name: self.score_before})
            self._take_steps(first, log)
            self.score = self.evaluate()
            finding = f"after the last step the {self.scored_on} bits per byte are {self.score}"
            self._check_finite(finding, self.score)
            log.conclude(self.num_steps, **{name: self.score})

    def _take_steps(self, first: int, log: Logbook) -> None:
        if first:
            note(f"{self.stage}: goes on from step {first:,} of {self.num_steps:,}")
            self._log(log)
        started, tokens = monotonic(), 0
        total, done = self.num_steps * self.step_units, first * self.step_units
        with track(self.stage, total, self.unit, done=done) as bar:
            for step in range(first, self.num_steps):
                began = monotonic()
                factor = rate_factor(step + 1, self.num_steps, self.warmup, self.cooldown)
                set_rates(self.optimizers, factor)
                loss = self.take_step(step)
                finding = f"the loss is {loss} at step {step + 1} of {self.num_steps}"
                self._check_finite(finding, loss)
                self.history.append({"step": step + 1, "loss": loss, "rate_factor": factor})
                self._log(log, tokens_per_second=self.num_tokens(step) / (monotonic() - began))
                self._tell(bar)
                tokens += self.num_tokens(step)
        if tokens:
            self.tokens_per_second = tokens / (monotonic() - started)

    def _tell(self, bar: Bar) -> None:
        """Tell the bar, which may say that it is time to stop, and keep what must not be lost."""
        done = len(self.history)
        try:
            bar.advance(self.step_units, loss=self.history[-1]["loss"])
        except BaseException:
            self._save(done)
            raise
        # After the last one too: the evaluation may be stopped.
        if done % self._checkpoint_steps == 0 or done == self.num_steps:
            self._save(done)

    def _save(self, done: int) -> None:
        if self.world.leads:
            self._snapshots.save(done, self.model, self.optimizers, self.history)

    def _log(self, log: Logbook, **more: float) -> None:
        last = self.history[-1]
        rate = self.peak_rate * last["rate_factor"]
        figures = {"loss": last["loss"], "learning_rate": rate, "rate_factor": last["rate_factor"]}
        log.add(len(self.history), **figures, **more)

    def _check_finite(self, finding: str, value: float) -> None:
        if not math.isfinite(value):
            raise TrainingDiverged(f"{finding}; expected a finite number. {self.remedy}")


def update(
    loss: Tensor | None,
    parameters: Iterable[nn.Parameter],
    optimizers: Sequence[Optimizer],
    world: World = ALONE,
) -> float:
    """Update the parameters by this process's part of a batch's mean loss; returns all of it.

    `loss` is None on a rank without rows.
    """
    for optimizer in optimizers:
        optimizer.zero_grad(set_to_none=True)
    if loss is not None:
        loss.backward()  # type: ignore[no-untyped-call]
    world.sum_gradients(parameters)
    for optimizer in optimizers:
        optimizer.step()
    return world.sum(0.0 if loss is None else loss.item())


@torch.no_grad()
def bits_per_byte(
    summed_loss: Callable[[slice], Tensor],
    count: int,
    unit: str,
    num_bytes: int,
    batch_size: int,
    world: World = ALONE,
) -> float:
    """Bits that a model needs for `count` rows per byte of text: no matter of the tokenizer.

    `summed_loss` gives the loss of some rows in nats. Ranks read `batch_size` each at a time.
    """
    nats = 0.0
    together = batch_size * world.size
    with track("evaluate", count, unit) as bar:
        for start in range(0, count, together):
            rows = range(start, min(start + together, count))
            mine = rows[world.share(len(rows))]
            own = summed_loss(slice(mine.start, mine.stop)).item() if mine else 0.0
            nats += world.sum(own)
            bar.advance(len(rows))
    return nats / math.log(2) / num_bytes
