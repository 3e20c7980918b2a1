"""Shard: documents to packed token sequences, split by document."""

from __future__ import annotations

from prefect import flow

from flows.parameters import RunOptions, ShardInputs, StageResult
from flows.stage_run import (
    Job,
    Outcome,
    count_rows,
    handed,
    results,
    run_stage,
)
from tasks.shard.config import ShardConfig
from tasks.shard.task import baselines, tokenize


@flow(name="shard", flow_run_name="shard for {options.recipe}")
def shard(
    *, options: RunOptions, inputs: ShardInputs = ShardInputs(), config: ShardConfig
) -> StageResult:
    """Tokenize, split and pack the documents.

    Args:
        options: where it runs, and whether it is built again
        inputs: the artifacts that it is made from
        config: the stage's knobs, as the recipe sets them
    """

    def build(job: Job) -> Outcome:
        documents, tokenizer = job.files("dedup", "documents/"), job.folder("tokenizer")
        work, forgotten = job.workspace.root, job.forgotten
        futures = [
            tokenize.submit(number, len(documents), path, tokenizer, config, work, forgotten)
            for number, path in enumerate(documents, 1)
        ]
        shards = [handed(future) for future in futures]
        measured = baselines.submit(documents, shards, tokenizer, config, forgotten)
        packed = [path for pair in results(futures) for path in pair]
        return Outcome(count_rows(documents), count_rows(packed), measured.result())

    return run_stage("shard", config, inputs, options, build)
