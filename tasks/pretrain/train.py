"""Pretraining: from token sequences to a base model, on as many devices as it is configured for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor
from torch.optim import Optimizer

from storage.errors import CorpusTooSmall, Fault, RequestError
from storage.parquet import write_table
from storage.workspace import Workspace
from tasks.lm.checkpoint import finish_model
from tasks.lm.distributed.world import ALONE, World
from tasks.lm.loop import Training, TrainingJob, bits_per_byte, update
from tasks.lm.models.decoder import Decoder, init_weights
from tasks.lm.optimizer import build_optimizers
from tasks.lm.sequences import Sequences
from tasks.lm.tokens import TextEncoder
from tasks.pretrain.config import PretrainConfig
from tasks.progress import note

_EVALUATION_BATCH = 16


@dataclass(frozen=True)
class TrainingData:
    """What the shard and tokenizer stages left."""

    train: Sequence[Path]
    validation: Sequence[Path]
    validation_bytes: int
    sequence_length: int
    tokenizer: Path


class PretrainJob(TrainingJob):
    """A pretraining from its inputs to its files: the model and the loss curve."""

    config: PretrainConfig
    data: TrainingData

    def training(self, world: World) -> Pretraining:
        scratch = Workspace(self.work).scratch / "rows"
        return Pretraining(self.config, self.data, world, scratch)

    def check_shares(self, num_devices: int) -> None:
        num_sequences = self.config.batch_sequences
        if num_sequences < num_devices:
            raise RequestError(
                Fault(
                    "pretrain.compute.devices",
                    f"{num_devices} devices for batches of {num_sequences} sequences",
                    "at least one sequence for each",
                    f"Set pretrain.compute.devices to {num_sequences} or less, or raise "
                    "pretrain.batch_sequences.",
                )
            )


class Pretraining(Training):
    """A base model, trained within its token budget: seeded weights, batches in a seeded order."""

    stage, unit, scored_on = "pretrain", "tokens", "validation"
    remedy = (
        "Lower pretrain.optimizer.matrix_lr or lengthen pretrain.optimizer.warmup, and run again."
    )
    model: Decoder

    def __init__(
        self,
        config: PretrainConfig,
        data: TrainingData,
        world: World = ALONE,
        scratch: Path | None = None,
    ) -> None:
        """Raise CorpusTooSmall if the budget is less than one step, and as `Training` does."""
        super().__init__(config, world)
        self._config, self._data = config, data
        self._train = Sequences(data.train, data.sequence_length, scratch)
        self._validation = Sequences(data.validation, data.sequence_length, scratch)
        self.step_units = config.batch_sequences * data.sequence_length
        self.num_steps = config.tokens // self.step_units
        self._tokens = self.num_steps * self.step_units
        if self.num_steps < 1:
            raise CorpusTooSmall(
                f"pretrain.tokens={config.tokens} is less than one step of {self.step_units} "
                f"tokens ({config.batch_sequences} sequences of {data.sequence_length}); expected "
                "at least one step. Raise the budget or lower pretrain.batch_sequences."
            )
        self._epochs = self._tokens / self._train.num_targets
        encoder = TextEncoder.load(data.tokenizer)
        self._border = encoder.end_of_text if config.isolate_documents else None
        vocab_size = encoder.tokenizer.get_vocab_size()
        self.model = Decoder(config.model, vocab_size, data.sequence_length)
        init_weights(self.model, config.seed)
        self.model.to(self.compute.device)
        self.optimizers = build_optimizers(self.model, config.optimizer)
        self.peak_rate = config.optimizer.matrix_lr
        self.warmup, self.cooldown = config.optimizer.warmup, config.optimizer.cooldown
        note(
            f"pretrain: {self.model.num_parameters:,} parameters, {self.num_steps:,} steps, "
            f"{self._tokens:,} tokens ({self._epochs:.2f} epochs) on {self.compute}"
        )

    def take_step(self, step: int) -> float:
        batch = self._train.batch(self._config.seed, step, self._config.batch_sequences)
        ids, targets = (tensor.to(self.compute.device) for tensor in batch)
        dtype, world, border = self.compute.dtype, self.world, self._border
        return train_step(self.model, self.optimizers, ids, targets, dtype, world, border)

    def num_tokens(self, step: int) -> int:
        return self.step_units

    def evaluate(self) -> float:
        """Each sequence is read from its first token on, so the context is at most its length."""
        sequences, device = self._validation, self.compute.device

        def loss(rows: slice) -> Tensor:
            ids, targets = (tensor.to(device) for tensor in sequences[rows])
            return self.model.summed_loss(ids, targets, self.compute.dtype, self._border)

        count, num_bytes = len(sequences), self._data.validation_bytes
        return bits_per_byte(loss, count, "sequences", num_bytes, _EVALUATION_BATCH, self.world)

    def write(self, workspace: Workspace) -> None:
        finish_model(self.model, self._data.tokenizer, workspace)
        write_table(workspace, "training.parquet", pa.Table.from_pylist(self.history))

    @property
    def stats(self) -> dict[str, Any]:
        return {
            "parameters": self.model.num_parameters,
            "tokens": self._tokens,
            "epochs": round(self._epochs, 3),
            "validation_bits_per_byte": self.score,
            "last_loss": self.history[-1]["loss"],
            "tokens_per_second": round(self.tokens_per_second),
            "compute": str(self.compute),
        }


def train_step(
    model: Decoder,
    optimizers: Sequence[Optimizer],
    ids: Tensor,
    targets: Tensor,
    dtype: torch.dtype,
    world: World = ALONE,
    end_of_text: int | None = None,
) -> float:
    """One update of the model on ids and targets (B, T); returns the mean loss in nats.

    All processes of `world` are given the same batch, and each computes its rows. Documents with
    an `end_of_text` between them do not see each other.
    """
    num_targets = (targets >= 0).sum().clamp_min(1)
    mine = world.share(len(ids))
    loss = model.summed_loss(ids[mine], targets[mine], dtype, end_of_text) / num_targets
    return update(loss, model.parameters(), optimizers, world)
