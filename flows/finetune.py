"""Finetune: instruction pairs from the documents, an adapter, a merged model."""

from __future__ import annotations

from prefect import flow

from flows.stage_run import (
    Inputs,
    Job,
    Outcome,
    RunOptions,
    StageResult,
    handed,
    results,
    run_stage,
    threads,
)
from tasks.finetune.config import FinetuneConfig
from tasks.finetune.task import build_pairs, train_adapter


@flow(
    name="finetune",
    flow_run_name="finetune for {options.recipe}",
    task_runner=threads(1),
)
def finetune(
    config: FinetuneConfig, options: RunOptions, inputs: Inputs | None = None
) -> StageResult:
    """Train an adapter on instruction pairs and merge it."""

    def build(job: Job) -> Outcome:
        work = build_pairs.submit(job.files("dedup", "documents/"), config, job.workspace.root)
        trained = train_adapter.submit(config, job.folder("pretrain"), handed(work))
        results([work])
        stats = trained.result()
        pairs = stats["pairs"] + stats["held_out_pairs"]
        return Outcome(pairs, stats["trainable_parameters"], stats)

    return run_stage("finetune", config, inputs or {}, options, build)
