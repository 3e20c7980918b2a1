"""Finetune: instruction pairs from the documents, an adapter, a merged model."""

from __future__ import annotations

from prefect import flow

from flows.parameters import FinetuneInputs, RunOptions, StageResult
from flows.stage_run import (
    Job,
    Outcome,
    handed,
    results,
    run_stage,
)
from tasks.finetune.config import FinetuneConfig
from tasks.finetune.task import build_pairs, train_adapter


@flow(name="finetune", flow_run_name="finetune for {options.recipe}")
def finetune(
    *, options: RunOptions, inputs: FinetuneInputs = FinetuneInputs(), config: FinetuneConfig
) -> StageResult:
    """Train an adapter on instruction pairs and merge it.

    Args:
        options: where it runs, and whether it is built again
        inputs: the artifacts that it is made from
        config: the stage's knobs, as the recipe sets them
    """

    def build(job: Job) -> Outcome:
        work = build_pairs.submit(job.files("dedup", "documents/"), config, job.workspace.root)
        base = job.folder("pretrain")
        trained = train_adapter.submit(config, base, handed(work), job.tracking)
        results([work])
        stats = trained.result()
        pairs = stats["pairs"] + stats["held_out_pairs"]
        return Outcome(pairs, stats["trainable_parameters"], stats)

    return run_stage("finetune", config, inputs, options, build)
