"""A pretraining from its inputs to its files, on as many devices as it is configured for."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from storage.errors import Fault, RequestError
from storage.parquet import write_table
from storage.workspace import Workspace
from tasks.lm.checkpoint import finish_model
from tasks.lm.device import count_devices
from tasks.lm.distributed.launch import launch
from tasks.lm.distributed.world import ALONE, World
from tasks.lm.tracking.run import TrackedRun
from tasks.pretrain.config import PretrainConfig
from tasks.pretrain.train import TrainingData, pretrain


class PretrainJob(BaseModel):
    """What is trained, from what, and where it is built; as JSON it travels to the ranks."""

    model_config = ConfigDict(frozen=True)

    config: PretrainConfig
    data: TrainingData
    work: Path
    tracking: Path | None = None


def carry_out(job: PretrainJob) -> dict[str, Any]:
    """Train, save the model and the loss curve; returns the run's figures.

    Raises what `pretrain` raises, and RequestError for more devices than there are, or than a batch
    has sequences.
    """
    num_devices = count_devices(job.config.compute)
    if num_devices == 1:
        return do_part(job, ALONE)
    _check_shares(job.config.batch_sequences, num_devices)
    log = Workspace(job.work).scratch / "ranks.log"
    stats = launch("tasks.pretrain.worker", job.model_dump_json(), job.config.compute, log)
    return cast("dict[str, Any]", stats)


def _check_shares(batch_sequences: int, num_devices: int) -> None:
    if batch_sequences < num_devices:
        raise RequestError(
            Fault(
                "pretrain.compute.devices",
                f"{num_devices} devices for batches of {batch_sequences} sequences",
                "at least one sequence for each",
                f"Set pretrain.compute.devices to {batch_sequences} or less, or raise "
                "pretrain.batch_sequences.",
            )
        )


def do_part(job: PretrainJob, world: World) -> dict[str, Any]:
    """What one process of `world` does; the one that leads writes."""
    workspace = Workspace(job.work)
    knobs = job.config.model_dump(mode="json", exclude={"checks", "tracking"})
    tracked = TrackedRun.of("pretrain", job.work, job.tracking, knobs)
    trained = pretrain(job.config, job.data, workspace.scratch / "snapshots", world, tracked)
    if world.leads:
        finish_model(trained.model, job.data.tokenizer, workspace)
        write_table(workspace, "training.parquet", pa.Table.from_pylist(trained.history))
    return trained.stats
