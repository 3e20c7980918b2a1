"""Tokenizer: a byte-level BPE trained on the documents."""

from __future__ import annotations

from prefect import flow

from flows.stage_run import (
    Inputs,
    Job,
    Outcome,
    RunOptions,
    StageResult,
    run_stage,
    threads,
)
from tasks.tokenizer.config import TokenizerConfig
from tasks.tokenizer.task import train_bpe


@flow(
    name="tokenizer",
    flow_run_name="tokenizer for {options.recipe}",
    task_runner=threads(2),
)
def tokenizer(
    config: TokenizerConfig, options: RunOptions, inputs: Inputs | None = None
) -> StageResult:
    """Train a byte-level BPE."""

    def build(job: Job) -> Outcome:
        documents = job.files("dedup", "documents/")
        seen = train_bpe.submit(documents, config, job.workspace.root).result()
        return Outcome(seen.pop("documents"), config.vocab_size, seen)

    return run_stage("tokenizer", config, inputs or {}, options, build)
