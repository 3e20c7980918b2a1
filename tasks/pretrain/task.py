"""How pretraining is placed: one task, in process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
from prefect import task
from prefect.cache_policies import NO_CACHE

from storage.parquet import write_table
from storage.workspace import Workspace
from tasks.pretrain.config import PretrainConfig


@task(task_run_name="pretrain on {config.tokens} tokens", cache_policy=NO_CACHE)
def train_base(
    config: PretrainConfig,
    train: list[Path],
    validation: list[Path],
    facts: dict[str, int],
    tokenizer: Path,
    work: Path,
) -> dict[str, Any]:
    """Train, save the model and the loss curve; returns the run's figures."""
    from tasks.lm.checkpoint import finish_model  # torch: 2 s, and only wanted where it trains
    from tasks.pretrain.train import TrainingData, pretrain

    workspace = Workspace(work)
    data = TrainingData(
        train, validation, facts["validation_bytes"], facts["sequence_length"], tokenizer
    )
    trained = pretrain(config, data, workspace.scratch / "snapshots")
    finish_model(trained.model, tokenizer, workspace)
    write_table(workspace, "training.parquet", pa.Table.from_pylist(trained.history))
    return trained.stats
