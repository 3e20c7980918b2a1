"""The training loop. Batch, rate and update of a step are pure functions of the state before it, so
a run that is killed and goes on ends with the weights of one that was not."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import monotonic, process_time
from typing import Any, ClassVar, Protocol

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import Optimizer
from torch.utils.checkpoint import checkpoint

from storage.errors import TrainingDiverged
from storage.workspace import Workspace
from tasks.lm.config import ComputeConfig, Rates, Validation, rate_factor
from tasks.lm.device import DTYPES, count_devices, set_up
from tasks.lm.distributed.launch import launch
from tasks.lm.distributed.world import ALONE, World
from tasks.lm.models.decoder import Decoder
from tasks.lm.optimizer import set_rates
from tasks.lm.snapshot import History, Snapshots
from tasks.lm.tracking import Trackers
from tasks.lm.tracking.logbook import Logbook, TrackedRun, check_packages
from tasks.progress import Bar, note, track

_PROBE_TOKENS = 256


class TrainingConfig(Protocol):
    """The knobs that every training has."""

    @property
    def compute(self) -> ComputeConfig: ...
    @property
    def validation(self) -> Validation: ...
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


@dataclass(frozen=True)
class Batch:
    """Rows to learn from or to be scored on: the same on every rank, which computes some of them.

    `loss` gives the sum in nats over the targets of some rows, `targets` the number of these.
    """

    num_rows: int
    num_tokens: int
    targets: Callable[[slice], int]
    loss: Callable[[slice], Tensor]


class Training(ABC):
    """One training as one process of `world` takes part in it. All processes take the same steps.

    What it trains, and how many steps, is set by whoever derives from it. `history` has the figures
    of every step that was taken; `score` is the bits per byte of what was held out after the last,
    `score_before`, if `scores_before`, before the first.
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
    decoder: Decoder
    """What of it has layers."""
    peak_rate: float
    rates: Rates
    num_steps: int
    held_out: Batch
    held_out_bytes: int
    held_out_unit: ClassVar[str]
    held_out_rows: ClassVar[int]
    """That a rank scores at once."""

    def __init__(self, config: TrainingConfig, world: World) -> None:
        """Raise RequestError if a tracker is not installed, or the device is not there."""
        check_packages(config.tracking)
        self.world = world
        self.compute = set_up(config.compute, world)
        self.score = self.score_before = self.tokens_per_second = 0.0
        self._knobs, self.validation = config.compute, config.validation
        self._tracking, self._checkpoint_steps = config.tracking, config.checkpoint_steps

    @abstractmethod
    def batch(self, step: int) -> Batch:
        """What a step (from 0) learns from."""

    @abstractmethod
    def build_optimizers(self) -> list[Optimizer]:
        """What updates the model, in the arithmetic of `compute`."""

    @abstractmethod
    def write(self, workspace: Workspace) -> None:
        """Write what came out; ends the training."""

    @property
    @abstractmethod
    def stats(self) -> dict[str, Any]:
        """The figures of the run."""

    @property
    @abstractmethod
    def about(self) -> str:
        """What is trained, in words."""

    def run(self, snapshots: Path, tracked: TrackedRun | None = None) -> None:
        """Take all steps from the newest snapshot on, also one of another number of processes.

        Raises TrainingDiverged if a loss, a gradient or the score is not finite, RunError if
        no snapshot can be read, and what the progress bars raise, after a snapshot of the last
        finished step.
        """
        clips, validates = self.rates.clip is not None, self.validation.steps
        more = (*["gradient_norm"] * clips, *["validation_loss"] * bool(validates))
        self.history = History(("loss", "rate_factor", *more))
        self._snapshots = Snapshots(snapshots)
        found = self._snapshots.load(self.model, self.history)
        first = found.step if found else 0
        self._settle_precision(found.state["precision"] if found else None)
        if self.about:
            note(f"{self.stage}: {self.about} on {self.compute}")
        save_activations(self.decoder, self._knobs.activation_checkpointing)
        if self.scores_before:
            self.score_before = self.evaluate()
        self.optimizers = self.build_optimizers()
        fp16 = self.compute.dtype == torch.float16
        self._scale = LossScale(*(found.state["scale"] if found else ())) if fp16 else None
        if found:
            found.restore(self.model, self.optimizers)
        scores = self.history.column("validation_loss") if validates else ()
        self._best_loss = min((x for x in scores if not math.isnan(x)), default=math.inf)
        shown = replace(tracked, first_step=first) if tracked and self.world.leads else None
        name = f"{self.scored_on.replace('-', '_')}_bits_per_byte"
        with Logbook(self._tracking, shown) as log:
            if self.scores_before and not first:
                log.add(0, **{name: self.score_before})
            self._take_steps(first, log)
            self._take_best()
            self.score = self.evaluate()
            finding = f"after the last step the {self.scored_on} bits per byte are {self.score}"
            self._check_finite(finding, self.score)
            log.conclude(self.num_steps, **{name: self.score})

    def _settle_precision(self, begun: str | None) -> None:
        """Go on in the arithmetic of the snapshot; else measure, where it is open."""
        if begun is not None and begun != self.compute.precision:
            note(f"{self.stage}: goes on in {begun}, in which it began")
            self.compute = replace(self.compute, dtype=DTYPES[begun])
        elif begun is None and self.compute.is_open:
            seconds = {dtype: self._probe(dtype) for dtype in (torch.float32, torch.bfloat16)}
            self.compute = replace(self.compute, dtype=min(seconds, key=lambda d: seconds[d]))

    def _probe(self, dtype: torch.dtype) -> float:
        """CPU seconds of a part of a step, about 256 tokens, the same on all ranks: the least of
        two after one to warm up. Not those of the clock, which other programs lengthen."""
        self.compute, best = replace(self.compute, dtype=dtype), math.inf
        batch = self.batch(0)
        rows = slice(max(1, batch.num_rows * _PROBE_TOKENS // batch.num_tokens))
        for _ in range(3):
            began = process_time()
            batch.loss(rows).backward()  # type: ignore[no-untyped-call]
            best = min(best, process_time() - began)
        self.model.zero_grad(set_to_none=True)
        return self.world.sum(best)

    def _take_steps(self, first: int, log: Logbook) -> None:
        if first:
            note(f"{self.stage}: goes on from step {first:,} of {self.num_steps:,}")
            self._log(log)
        started, tokens = monotonic(), 0
        total, done = self.num_steps * self.step_units, first * self.step_units
        with track(self.stage, total, self.unit, done=done) as bar:
            for step in range(first, self.num_steps):
                began = monotonic()
                factor = rate_factor(step + 1, self.num_steps, self.rates)
                set_rates(self.optimizers, factor)
                batch = self.batch(step)
                loss, norm = self._take_step(batch)
                at = f"at step {step + 1} of {self.num_steps}"
                self._check_finite(f"the loss is {loss} {at}", loss)
                self._check_finite(f"the gradient's norm is {norm} {at}", norm)
                speed = batch.num_tokens / (monotonic() - began)
                scores = self._validate(step + 1)
                self.history.add(loss=loss, rate_factor=factor, gradient_norm=norm, **scores)
                self._log(log, gradient_norm=norm, tokens_per_second=speed, **scores)
                self._tell(bar)
                tokens += batch.num_tokens
        if tokens:
            self.tokens_per_second = tokens / (monotonic() - started)

    def _take_step(self, batch: Batch) -> tuple[float, float]:
        return take_step(
            batch,
            self.model,
            self.optimizers,
            self.world,
            accumulate=self._knobs.accumulate,
            clip=self.rates.clip,
            scale=self._scale,
        )

    def _validate(self, done: int) -> dict[str, float]:
        """Score a part of what is held out, where it is time to; the best weights are kept."""
        every = self.validation.steps
        if not every or (done % every and done != self.num_steps):
            return {}
        size = self.held_out_rows * self.world.size
        starts = range(0, self.held_out.num_rows, size)
        starts = starts[:: max(1, self.held_out.num_rows // self.validation.rows)]
        nats = summed_nats(self.held_out, starts, size, self.world)
        num_targets = sum(self.held_out.targets(slice(at, at + size)) for at in starts)
        loss = nats / max(1, num_targets)
        if self.validation.keep == "best" and loss < self._best_loss:
            self._best_loss = loss
            if self.world.leads:
                self._snapshots.keep_best(self.model, done, loss)
        return {"validation_loss": loss}

    def _take_best(self) -> None:
        if self.validation.keep == "best":
            self.world.sum(0.0)  # the leading rank has written it
            step, loss = self._snapshots.take_best(self.model)
            note(f"{self.stage}: the model of step {step:,} is kept (validation loss {loss:.4f})")

    def evaluate(self) -> float:
        """Bits per byte of what was held out."""
        rows = self.held_out
        return bits_per_byte(
            rows, self.held_out_unit, self.held_out_bytes, self.held_out_rows, self.world
        )

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
            state = {"precision": self.compute.precision}
            scale = {"scale": self._scale.state} if self._scale else {}
            self._snapshots.save(done, self.model, self.optimizers, self.history, state | scale)

    def _log(self, log: Logbook, **more: float) -> None:
        last = self.history[-1]
        rate = self.peak_rate * last["rate_factor"]
        figures = {"loss": last["loss"], "learning_rate": rate, "rate_factor": last["rate_factor"]}
        log.add(len(self.history), **figures, **more)

    def _check_finite(self, finding: str, value: float) -> None:
        if not math.isfinite(value):
            raise TrainingDiverged(f"{finding}; expected a finite number. {self.remedy}")


class LossScale:
    """What losses in float16 are multiplied by, so that small gradients do not vanish.

    Halved, and the step left out, where a gradient is not finite; doubled after 2,000 steps that
    were. Not torch's GradScaler: it looks at each optimizer's gradients apart, and of two would let
    one take the step that the other leaves out. Source: arXiv:1710.03740.
    """

    def __init__(self, value: float = 2.0**16, since: int = 0) -> None:
        self.value, self._since = value, since

    @property
    def state(self) -> tuple[float, int]:
        """What another is made from that goes on."""
        return self.value, self._since

    def update(self, norm: float) -> None:
        """Follow a gradient's norm."""
        self._since = self._since + 1 if math.isfinite(norm) else 0
        if not self._since:
            self.value /= 2
        elif self._since == 2000:
            self.value, self._since = self.value * 2, 0


def take_step(
    batch: Batch,
    model: nn.Module,
    optimizers: Sequence[Optimizer],
    world: World = ALONE,
    *,
    accumulate: int = 1,
    clip: float | None = None,
    scale: LossScale | None = None,
) -> tuple[float, float]:
    """Update the model by the mean loss over all targets; returns it in nats, and the gradient's
    global norm before it was clipped.

    A gradient that is not finite changes nothing. With a `scale` its norm is then told as 0.
    """
    for optimizer in optimizers:
        optimizer.zero_grad(set_to_none=True)
    num_targets, loss = max(1, batch.targets(slice(None))), 0.0
    for rows in _parts(world.share(batch.num_rows), accumulate):
        mean = batch.loss(rows) / num_targets
        (mean * scale.value if scale else mean).backward()  # type: ignore[no-untyped-call]
        loss += mean.item()
    world.sum_gradients(model.parameters())
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    if scale:
        torch._foreach_mul_(gradients, 1 / scale.value)
    norm = get_total_norm(gradients)
    if math.isfinite(size := norm.item()):
        if clip is not None:
            clip_grads_with_norm_(model.parameters(), clip, norm)
        for optimizer in optimizers:
            optimizer.step()
    if scale:
        scale.update(size)
        size = size if math.isfinite(size) else 0.0
    return world.sum(loss), size


def _parts(rows: slice, count: int) -> Iterator[slice]:
    """Split rows evenly; there are no more parts than rows."""
    num = rows.stop - rows.start
    count = min(count, num)
    for part in range(count):
        yield slice(rows.start + num * part // count, rows.start + num * (part + 1) // count)


def save_activations(decoder: Decoder, kind: str) -> None:
    """Have layers ("full"), or their feed-forward parts ("selective"), keep only what they are
    given, and compute the rest again for the gradients."""
    for layer in decoder.model.layers if kind != "none" else ():
        part: Any = layer if kind == "full" else layer.mlp
        part.forward = partial(checkpoint, part.forward, use_reentrant=False)


@torch.no_grad()
def summed_nats(
    rows: Batch, starts: Sequence[int], size: int, world: World, bar: Bar | None = None
) -> float:
    """Sum the loss of the `size` rows from each of `starts` on, in nats, over all ranks."""
    nats = 0.0
    for start in starts:
        together = range(start, min(start + size, rows.num_rows))
        mine = together[world.share(len(together))]
        part = slice(mine.start, mine.stop)
        nats += world.sum(rows.loss(part).item() if mine else 0.0)
        if bar:
            bar.advance(len(together))
    return nats


def bits_per_byte(
    rows: Batch, unit: str, num_bytes: int, batch_size: int, world: World = ALONE
) -> float:
    """Bits that a model needs for some rows, per byte of their text: no matter of the tokenizer.

    Ranks read `batch_size` each at a time.
    """
    size = batch_size * world.size
    with track("evaluate", rows.num_rows, unit) as bar:
        nats = summed_nats(rows, range(0, rows.num_rows, size), size, world, bar)
    return nats / math.log(2) / num_bytes
