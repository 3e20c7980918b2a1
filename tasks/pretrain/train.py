"""The pretraining loop. Batch, rate and update of a step are pure functions of the state before it,
so a run that is killed and goes on ends with the weights of one that was not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from torch.optim import Optimizer

from storage.errors import CorpusTooSmall, TrainingDiverged
from tasks.lm.device import Compute, set_up
from tasks.lm.distributed.world import ALONE, World
from tasks.lm.evaluate import bits_per_byte
from tasks.lm.models.decoder import Decoder, init_weights
from tasks.lm.optimizer import build_optimizers, set_rates
from tasks.lm.sequences import Sequences
from tasks.lm.snapshot import Snapshots
from tasks.lm.tokens import load_tokenizer
from tasks.lm.tracking.logbook import Logbook, check_packages
from tasks.lm.tracking.run import TrackedRun
from tasks.pretrain.config import PretrainConfig
from tasks.progress import Bar, note, track


@dataclass(frozen=True)
class TrainingData:
    """What the shard and tokenizer stages left."""

    train: Sequence[Path]
    validation: Sequence[Path]
    validation_bytes: int
    sequence_length: int
    tokenizer: Path


@dataclass(frozen=True)
class Trained:
    """A trained model and what it took."""

    model: Decoder
    history: list[dict[str, float]]
    stats: dict[str, Any]


def pretrain(
    config: PretrainConfig,
    data: TrainingData,
    scratch: Path,
    world: World = ALONE,
    tracked: TrackedRun | None = None,
) -> Trained:
    """Train within the token budget and evaluate on the held-out documents.

    Every process of `world` calls it. Goes on from the newest snapshot in `scratch`, also with
    another number of processes. Raises RequestError if a tracker is not installed, CorpusTooSmall
    if the budget is less than one step, TrainingDiverged if the loss is no longer finite, and what
    the progress bar raises, after a snapshot of the last finished step.
    """
    check_packages(config.tracking)
    compute = set_up(config.compute, world)
    train = Sequences(data.train, data.sequence_length)
    validation = Sequences(data.validation, data.sequence_length)
    num_steps = config.tokens // (config.batch_sequences * data.sequence_length)
    _check_budget(config, data, num_steps)
    vocab_size = load_tokenizer(data.tokenizer).get_vocab_size()
    model = Decoder(config.model, vocab_size, data.sequence_length)
    init_weights(model, config.seed)
    model.to(compute.device)
    tokens = num_steps * config.batch_sequences * data.sequence_length
    loop = _Loop(config, compute, model, train, num_steps, Snapshots(scratch), world)
    note(
        f"pretrain: {model.num_parameters:,} parameters, {num_steps:,} steps, {tokens:,} tokens "
        f"({tokens / train.num_targets:.2f} epochs) on {compute}"
    )
    with loop.logbook(tracked) as log:
        history = loop.run(log)
        score = bits_per_byte(model, validation, data.validation_bytes, compute, world=world)
        _check_finite(f"after the last step the validation bits per byte are {score}", score)
        log.conclude(num_steps, validation_bits_per_byte=score)
    stats: dict[str, Any] = {
        "parameters": model.num_parameters,
        "tokens": tokens,
        "epochs": round(tokens / train.num_targets, 3),
        "validation_bits_per_byte": score,
        "last_loss": history[-1]["loss"],
        "tokens_per_second": round(loop.tokens_per_second),
        "compute": str(compute),
    }
    return Trained(model, history, stats)


def _check_budget(config: PretrainConfig, data: TrainingData, num_steps: int) -> None:
    if num_steps < 1:
        step = config.batch_sequences * data.sequence_length
        raise CorpusTooSmall(
            f"pretrain.tokens={config.tokens} is less than one step of {step} tokens "
            f"({config.batch_sequences} sequences of {data.sequence_length}); expected at least "
            "one step. Raise the budget or lower pretrain.batch_sequences."
        )


def _check_finite(finding: str, value: float) -> None:
    if not math.isfinite(value):
        raise TrainingDiverged(
            f"{finding}; expected a finite number. Lower pretrain.optimizer.matrix_lr or lengthen "
            "pretrain.optimizer.warmup, and run again."
        )


class _Loop:
    """The steps of one run, from the newest snapshot on."""

    def __init__(
        self,
        config: PretrainConfig,
        compute: Compute,
        model: Decoder,
        train: Sequences,
        num_steps: int,
        snapshots: Snapshots,
        world: World,
    ) -> None:
        self._config, self._compute, self._model, self._world = config, compute, model, world
        self._train, self._num_steps, self._snapshots = train, num_steps, snapshots
        self._optimizers = build_optimizers(model, config.optimizer)
        self._first, self._history = snapshots.load(model, self._optimizers)
        self._step_tokens = config.batch_sequences * train.length
        self.tokens_per_second = 0.0

    def logbook(self, tracked: TrackedRun | None) -> Logbook:
        """Where the steps are written down for people to watch: by one process."""
        mine = tracked if self._world.leads else None
        run = None if mine is None else replace(mine, first_step=self._first)
        return Logbook(self._config.tracking, run)

    def run(self, log: Logbook) -> list[dict[str, float]]:
        """Run to the last step and return (step, loss, rate factor) of each."""
        first, num_steps, step_tokens = self._first, self._num_steps, self._step_tokens
        if first:
            note(f"pretrain: goes on from step {first:,} of {num_steps:,}")
            self._log(log)
        started = monotonic()
        total, earlier = num_steps * step_tokens, first * step_tokens
        with track("pretrain", total, "tokens", done=earlier) as bar:
            for step in range(first, num_steps):
                began = monotonic()
                self._history.append(self._step(step))
                self._log(log, tokens_per_second=step_tokens / (monotonic() - began))
                self._tell(bar)
        if first < num_steps:
            self.tokens_per_second = (num_steps - first) * step_tokens / (monotonic() - started)
        return self._history

    def _tell(self, bar: Bar) -> None:
        """Tell the bar, which may say that it is time to stop, and keep what must not be lost."""
        done = len(self._history)
        try:
            bar.advance(self._step_tokens, loss=self._history[-1]["loss"])
        except BaseException:
            self._save(done)
            raise
        # After the last one too: the evaluation may be stopped.
        if done % self._config.checkpoint_steps == 0 or done == self._num_steps:
            self._save(done)

    def _save(self, done: int) -> None:
        if self._world.leads:
            self._snapshots.save(done, self._model, self._optimizers, self._history)

    def _log(self, log: Logbook, **more: float) -> None:
        last = self._history[-1]
        rate = self._config.optimizer.matrix_lr * last["rate_factor"]
        figures = {"loss": last["loss"], "learning_rate": rate, "rate_factor": last["rate_factor"]}
        log.add(len(self._history), **figures, **more)

    def _step(self, step: int) -> dict[str, float]:
        """One update; the loss is the mean over the batch's true targets, in nats."""
        factor = self._config.optimizer.rate_factor(step + 1, self._num_steps)
        set_rates(self._optimizers, factor)
        ids, targets = self._train.batch(self._config.seed, step, self._config.batch_sequences)
        device, dtype = self._compute.device, self._compute.dtype
        ids, targets = ids.to(device), targets.to(device)
        loss = train_step(self._model, self._optimizers, ids, targets, dtype, self._world)
        _check_finite(f"the loss is {loss} at step {step + 1} of {self._num_steps}", loss)
        return {"step": step + 1, "loss": loss, "rate_factor": factor}


def train_step(
    model: Decoder,
    optimizers: Sequence[Optimizer],
    ids: torch.Tensor,
    targets: torch.Tensor,
    dtype: torch.dtype,
    world: World = ALONE,
) -> float:
    """One update of the model on ids and targets (B, T); returns the mean loss in nats.

    All processes of `world` are given the same batch, and each computes its rows.
    """
    num_targets = (targets >= 0).sum().clamp_min(1)
    mine = world.share(len(ids))
    loss = model.summed_loss(ids[mine], targets[mine], dtype) / num_targets
    for optimizer in optimizers:
        optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    world.sum_gradients(model.parameters())
    for optimizer in optimizers:
        optimizer.step()
    return world.sum(loss.item())
