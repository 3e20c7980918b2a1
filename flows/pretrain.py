"""Pretrain: token shards to a base model."""

from __future__ import annotations

from typing import cast

from prefect import flow

from flows.parameters import PretrainInputs, RunOptions, StageResult
from flows.stage_run import (
    Job,
    Outcome,
    count_rows,
    run_stage,
)
from tasks.pretrain.config import PretrainConfig
from tasks.pretrain.task import train_base


@flow(name="pretrain", flow_run_name="pretrain for {options.recipe}")
def pretrain(
    *, options: RunOptions, inputs: PretrainInputs = PretrainInputs(), config: PretrainConfig
) -> StageResult:
    """Train a decoder from scratch within a token budget.

    Args:
        options: where it runs, and whether it is built again
        inputs: the artifacts that it is made from
        config: the stage's knobs, as the recipe sets them
    """

    def build(job: Job) -> Outcome:
        sharded = job.inputs["shard"]
        train, validation = job.files("shard", "train/"), job.files("shard", "validation/")
        facts = {
            "sequence_length": cast("int", sharded.config["sequence_length"]),
            "validation_bytes": cast("int", sharded.stats["validation_bytes"]),
        }
        tokenizer, work = job.folder("tokenizer"), job.workspace.root
        trained = train_base.submit(config, train, validation, facts, tokenizer, work, job.tracking)
        stats = trained.result()
        stats["unigram_bits_per_byte"] = sharded.stats["unigram_bits_per_byte"]  # to be beaten
        return Outcome(count_rows(train), stats["parameters"], stats)

    return run_stage("pretrain", config, inputs, options, build)
