"""Tokenizer: a byte-level BPE trained on the documents."""

from __future__ import annotations

from prefect import flow

from flows.parameters import RunOptions, StageResult, TokenizerInputs
from flows.stage_run import (
    Job,
    Outcome,
    run_stage,
)
from tasks.tokenizer.config import TokenizerConfig
from tasks.tokenizer.task import train_bpe


@flow(name="tokenizer", flow_run_name="tokenizer for {options.recipe}")
def tokenizer(
    *, options: RunOptions, inputs: TokenizerInputs = TokenizerInputs(), config: TokenizerConfig
) -> StageResult:
    """Train a byte-level BPE.

    Args:
        options: where it runs, and whether it is built again
        inputs: the artifacts that it is made from
        config: the stage's knobs, as the recipe sets them
    """

    def build(job: Job) -> Outcome:
        documents = job.files("dedup", "documents/")
        seen = train_bpe.submit(documents, config, job.workspace.root).result()
        return Outcome(seen.pop("documents"), config.vocab_size, seen)

    return run_stage("tokenizer", config, inputs, options, build)
