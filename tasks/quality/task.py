"""How the quality stage is placed: train once, score each shard, decide, name what each loses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from prefect import task
from prefect.cache_policies import NO_CACHE

from storage.parquet import shard_name
from storage.workspace import Workspace
from tasks.progress import track
from tasks.quality.classifiers import Classifier
from tasks.quality.config import QualityConfig
from tasks.quality.evaluation import make_model, write_evaluation
from tasks.quality.score import Decision, decide, reject_shard, score_shard


@task(task_run_name="train the {config.kind} classifier", cache_policy=NO_CACHE)
def train_classifier(config: Classifier, documents: Sequence[Path], work: Path) -> Path:
    """Train a model, or take over a trained one; returns its folder."""
    return make_model(config, documents, Workspace(work))


@task(task_run_name="score shard {number} of {count}", cache_policy=NO_CACHE)
def score_documents(number: int, count: int, documents: Path, model: Path, work: Path) -> Path:
    """Score one shard of documents; returns the file of scores."""
    path = shard_name("scores", number - 1, count)
    workspace = Workspace(work)
    total = pq.read_metadata(documents).num_rows
    with track(f"score shard {number} of {count}", total, "documents") as bar:
        score_shard(documents, model, workspace, path, bar.advance)
    return workspace.data / path


@task(task_run_name="decide from which score on", cache_policy=NO_CACHE)
def decide_bound(scores: Sequence[Path], config: QualityConfig) -> Decision:
    """The bound that documents have to reach, over all shards."""
    return decide(scores, config)


@task(task_run_name="reject from shard {number} of {count}", cache_policy=NO_CACHE)
def reject_documents(number: int, count: int, scores: Path, decision: Decision, work: Path) -> Path:
    """Name what one shard loses; returns the file of rejects."""
    path = shard_name("rejects", number - 1, count)
    workspace = Workspace(work)
    reject_shard(scores, decision, workspace, path)
    return workspace.data / path


@task(task_run_name="evaluate", cache_policy=NO_CACHE)
def evaluate_classifier(scores: Sequence[Path], decision: Decision, work: Path) -> dict[str, Any]:
    """Write and return the evaluation of the model and of the corpus by it."""
    return write_evaluation(scores, decision, Workspace(work))
