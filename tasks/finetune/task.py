"""How fine-tuning is placed: one task for the pairs, one for the training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from storage.parquet import write_table
from storage.workspace import Workspace
from tasks.finetune.config import FinetuneConfig


@task(task_run_name="build instruction pairs", cache_policy=NO_CACHE)
def build_pairs(documents: Sequence[Path], config: FinetuneConfig, work: Path) -> Path:
    """Write train and validation pairs."""
    from tasks.finetune.instructions import write_pairs  # torch: 2 s, only wanted where it trains

    write_pairs(documents, config, Workspace(work))
    return work


@task(task_run_name="train {config.adapter.kind} adapter", cache_policy=NO_CACHE)
def train_adapter(config: FinetuneConfig, base: Path, work: Path) -> dict[str, Any]:
    """Train and save adapter and merged model; returns the run's figures."""
    from tasks.finetune.instructions import STEPS, TRAIN, VALIDATION
    from tasks.finetune.train import FinetuneData, finetune
    from tasks.lm.checkpoint import finish_model

    workspace = Workspace(work)
    data = FinetuneData(workspace.data / TRAIN, workspace.data / VALIDATION, base)
    with workspace.writing_folder("adapter") as adapter:
        tuned = finetune(config, data, workspace.scratch / "snapshots", adapter)
    finish_model(tuned.merged, base, workspace, "merged")
    write_table(workspace, STEPS, tuned.steps, volatile=True)
    return tuned.stats
