"""The pretraining loop. Batch, rate and update of a step are pure functions of the state before it,
so a run that is killed and goes on ends with the weights of one that was not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from torch.optim import Optimizer

from storage.errors import CorpusTooSmall, TrainingDiverged
from tasks.lm.device import Compute, set_up
from tasks.lm.evaluate import bits_per_byte
from tasks.lm.models.decoder import Decoder, init_weights
from tasks.lm.optimizer import build_optimizers, set_rates
from tasks.lm.sequences import Sequences
from tasks.lm.snapshot import Snapshots
from tasks.lm.tokens import load_tokenizer
from tasks.pretrain.config import PretrainConfig
from tasks.progress import note, track


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


def pretrain(config: PretrainConfig, data: TrainingData, scratch: Path) -> Trained:
    """Train within the token budget and evaluate on the held-out documents.

    Goes on from the newest snapshot in `scratch`. Raises CorpusTooSmall if the budget is less than
    one step, TrainingDiverged if the loss is no longer finite.
    """
    compute = set_up(config.compute)
    train = Sequences(data.train, data.sequence_length)
    validation = Sequences(data.validation, data.sequence_length)
    num_steps = config.tokens // (config.batch_sequences * data.sequence_length)
    _check_budget(config, data, num_steps)
    vocab_size = load_tokenizer(data.tokenizer).get_vocab_size()
    model = Decoder(config.model, vocab_size, data.sequence_length)
    init_weights(model, config.seed)
    model.to(compute.device)
    tokens = num_steps * config.batch_sequences * data.sequence_length
    note(
        f"pretrain: {model.num_parameters:,} parameters, {num_steps:,} steps, {tokens:,} tokens "
        f"({tokens / train.num_targets:.2f} epochs) on {compute}"
    )
    loop = _Loop(config, compute, model, train, num_steps, Snapshots(scratch))
    history = loop.run()
    score = bits_per_byte(model, validation, data.validation_bytes, compute)
    _check_finite(f"after the last step the validation bits per byte are {score}", score)
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
    """The steps of one run."""

    def __init__(
        self,
        config: PretrainConfig,
        compute: Compute,
        model: Decoder,
        train: Sequences,
        num_steps: int,
        snapshots: Snapshots,
    ) -> None:
        self._config, self._compute, self._model = config, compute, model
        self._train, self._num_steps, self._snapshots = train, num_steps, snapshots
        self._optimizers = build_optimizers(model, config.optimizer)
        self.tokens_per_second = 0.0

    def run(self) -> list[dict[str, float]]:
        """Run to the last step and return (step, loss, rate factor) of each."""
        first, history = self._snapshots.load(self._model, self._optimizers)
        if first:
            note(f"pretrain: goes on from step {first:,} of {self._num_steps:,}")
        step_tokens = self._config.batch_sequences * self._train.length
        started = monotonic()
        total, earlier = self._num_steps * step_tokens, first * step_tokens
        with track("pretrain", total, "tokens", done=earlier) as bar:
            for step in range(first, self._num_steps):
                history.append(self._step(step))
                bar.advance(step_tokens, loss=history[-1]["loss"])
                done = step + 1
                if done % self._config.checkpoint_steps == 0 and done < self._num_steps:
                    self._snapshots.save(done, self._model, self._optimizers, history)
        if first < self._num_steps:
            seconds = monotonic() - started
            self.tokens_per_second = (self._num_steps - first) * step_tokens / seconds
        return history

    def _step(self, step: int) -> dict[str, float]:
        """One update; the loss is the mean over the batch's true targets, in nats."""
        factor = self._config.optimizer.rate_factor(step + 1, self._num_steps)
        set_rates(self._optimizers, factor)
        ids, targets = self._train.batch(self._config.seed, step, self._config.batch_sequences)
        device = self._compute.device
        loss = train_step(
            self._model, self._optimizers, ids.to(device), targets.to(device), self._compute.dtype
        )
        _check_finite(f"the loss is {loss} at step {step + 1} of {self._num_steps}", loss)
        return {"step": step + 1, "loss": loss, "rate_factor": factor}


def train_step(
    model: Decoder,
    optimizers: Sequence[Optimizer],
    ids: torch.Tensor,
    targets: torch.Tensor,
    dtype: torch.dtype,
) -> float:
    """One update of the model on ids and targets (B, T); returns the mean loss in nats."""
    num_targets = (targets >= 0).sum().clamp_min(1)
    loss = model.summed_loss(ids, targets, dtype) / num_targets
    for optimizer in optimizers:
        optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    for optimizer in optimizers:
        optimizer.step()
    return loss.item()
