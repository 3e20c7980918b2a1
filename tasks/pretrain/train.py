"""Pretraining: from token sequences to a base model, on as many devices as it is configured for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from storage.errors import CorpusTooSmall, Fault, RequestError
from storage.parquet import write_table
from storage.workspace import Workspace
from tasks.lm.checkpoint import finish_model
from tasks.lm.distributed.world import ALONE, World
from tasks.lm.loop import Batch, Training, TrainingJob
from tasks.lm.models.decoder import Decoder, init_weights
from tasks.lm.optimizer import build_optimizers
from tasks.lm.sequences import Sequences
from tasks.lm.tokens import TextEncoder
from tasks.pretrain.config import PretrainConfig


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
    held_out_unit, held_out_rows = "sequences", 16
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
        self.model = self.decoder = Decoder(config.model, vocab_size, data.sequence_length)
        init_weights(self.model, config.seed)
        self.model.to(self.compute.device)
        self.rates = config.optimizer
        self.peak_rate = config.optimizer.rates()["matrix"]
        validation = Sequences(data.validation, data.sequence_length, scratch)
        # Each sequence is read from its first token on, so the context is at most its length.
        self.held_out = Batch(
            len(validation),
            len(validation) * data.sequence_length,
            lambda rows: int((validation[rows][1] >= 0).sum()),
            lambda rows: summed_loss(
                self.model, *validation[rows], self.compute.dtype, self._border
            ),
        )
        self.held_out_bytes = data.validation_bytes

    @property
    def about(self) -> str:
        return (
            f"{self.model.num_parameters:,} parameters, {self.num_steps:,} steps, "
            f"{self._tokens:,} tokens ({self._epochs:.2f} epochs)"
        )

    def build_optimizers(self) -> list[Optimizer]:
        return build_optimizers(
            self.model, self._config.optimizer, self.compute.dtype, self.model.head
        )

    def batch(self, step: int) -> Batch:
        ids, targets = self._train.batch(self._config.seed, step, self._config.batch_sequences)
        return batch_of(self.model, ids, targets, self.compute.dtype, self._border)

    def write(self, workspace: Workspace) -> None:
        finish_model(self.model, self._data.tokenizer, workspace)
        write_table(workspace, "training.parquet", self.history.table())

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
            "precision": self.compute.precision,
        }


def batch_of(
    model: Decoder,
    ids: Tensor,
    targets: Tensor,
    dtype: torch.dtype,
    end_of_text: int | None = None,
) -> Batch:
    """What a step learns from ids and targets, each (rows, positions); negative ones are none.

    Documents with an `end_of_text` between them do not see each other.
    """
    return Batch(
        len(ids),
        ids.numel(),
        lambda rows: int((targets[rows] >= 0).sum()),
        lambda rows: summed_loss(model, ids[rows], targets[rows], dtype, end_of_text),
    )


def summed_loss(
    model: Decoder,
    ids: Tensor,
    targets: Tensor,
    dtype: torch.dtype,
    end_of_text: int | None = None,
) -> Tensor:
    """Sum in nats over the targets, computed where the model is."""
    device = model.head.device
    return model.summed_loss(ids.to(device), targets.to(device), dtype, end_of_text)
