"""A fine-tuning from its inputs to its files, on as many devices as it is configured for."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from storage.parquet import write_table
from storage.workspace import Workspace
from tasks.finetune.config import FinetuneConfig
from tasks.finetune.instructions import STEPS, TRAIN, VALIDATION
from tasks.finetune.train import FinetuneData, Tuned, finetune
from tasks.lm.checkpoint import finish_model
from tasks.lm.device import count_devices
from tasks.lm.distributed.launch import launch
from tasks.lm.distributed.world import ALONE, World
from tasks.lm.tracking.run import TrackedRun


class FinetuneJob(BaseModel):
    """What is tuned, and where it is built; as JSON it travels to the ranks."""

    model_config = ConfigDict(frozen=True)

    config: FinetuneConfig
    base: Path
    work: Path
    tracking: Path | None = None


def carry_out(job: FinetuneJob) -> dict[str, Any]:
    """Train, save adapter, merged model and loss curve; returns the run's figures.

    Raises what `finetune` raises, and RequestError for more devices than there are.
    """
    if count_devices(job.config.compute) == 1:
        return do_part(job, ALONE)
    log = Workspace(job.work).scratch / "ranks.log"
    stats = launch("tasks.finetune.worker", job.model_dump_json(), job.config.compute, log)
    return cast("dict[str, Any]", stats)


def do_part(job: FinetuneJob, world: World) -> dict[str, Any]:
    """What one process of `world` does; the one that leads writes."""
    workspace = Workspace(job.work)
    if not world.leads:
        return _train(job, workspace, world, workspace.scratch).stats  # where it writes nothing
    with workspace.writing_folder("adapter") as adapter:
        tuned = _train(job, workspace, world, adapter)
    finish_model(tuned.merged, job.base, workspace, "merged")
    write_table(workspace, STEPS, tuned.steps, volatile=True)
    curve = pa.Table.from_pylist(tuned.history)
    write_table(workspace, "training.parquet", curve, volatile=True)
    return tuned.stats


def _train(job: FinetuneJob, workspace: Workspace, world: World, adapter: Path) -> Tuned:
    data = FinetuneData(workspace.data / TRAIN, workspace.data / VALIDATION, job.base)
    knobs = job.config.model_dump(mode="json", exclude={"checks", "tracking"})
    tracked = TrackedRun.of("finetune", job.work, job.tracking, knobs)
    return finetune(job.config, data, workspace.scratch / "snapshots", adapter, world, tracked)
