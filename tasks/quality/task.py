"""How the quality stage is placed: train once, score each shard, decide, name what each loses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from prefect import task
from prefect.cache_policies import NO_CACHE

from storage.errors import NothingLeft
from storage.parquet import shard_name
from storage.workspace import Workspace
from tasks.progress import note, track
from tasks.quality.classifiers import Classifier
from tasks.quality.config import QualityConfig
from tasks.quality.evaluation import facts, make_model, write_evaluation
from tasks.quality.score import Decision, decide, reject_shard, score_shard
from tasks.stage import Job, Outcome, count_rows, handed, results


def build(job: Job) -> Outcome:
    """Score all documents by the classifier, if there is one, and name those that score low."""
    config: QualityConfig = job.config
    if config.classifier is None:
        return _pass_all(job)
    return _score(job, config, config.classifier)


def _pass_all(job: Job) -> Outcome:
    """An artifact that says so, the same for every corpus: what follows is not made again."""
    num = count_rows(job.files("documents", "documents/"))
    note("quality: no classifier in the recipe; every document passes, without a score")
    job.workspace.write_json("quality.json", {"classifier": None})
    return Outcome(num, num, {"classifier": "none"})


def _score(job: Job, config: QualityConfig, classifier: Classifier) -> Outcome:
    documents, work = job.files("documents", "documents/"), job.workspace.root
    count = len(documents)
    model = train_classifier.submit(classifier, documents, work)
    results([model])
    scored = [
        score_documents.submit(number, count, path, handed(model), work)
        for number, path in enumerate(documents, 1)
    ]
    scores = results(scored)
    decision = decide_bound.submit(scores, config)
    rejected = [
        reject_documents.submit(number, count, path, handed(decision), work)
        for number, path in enumerate(scores, 1)
    ]
    evaluated = evaluate_classifier.submit(scores, handed(decision), work)
    results([decision])
    rows_in = count_rows(documents)
    rows_out = rows_in - count_rows(results(rejected))
    (told,) = results([evaluated])
    if rows_out == 0:
        raise NothingLeft(
            f"none of {rows_in} documents scored {decision.result().threshold:.4g} or more; "
            "expected at least one. Lower quality.threshold, or set quality.keep_share."
        )
    return Outcome(rows_in, rows_out, facts(classifier.kind, config.action, told))


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
