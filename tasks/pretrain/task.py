"""How pretraining is placed: one task, in process or on several devices of its machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.pretrain.config import PretrainConfig
from tasks.stage import Job, Outcome, count_rows


def build(job: Job) -> Outcome:
    """Train on the sequences; one model comes out."""
    sharded = job.input("sequences").manifest
    train, validation = (job.files("sequences", f"{side}/") for side in ("train", "validation"))
    facts = {
        "sequence_length": cast("int", sharded.config["sequence_length"]),
        "validation_bytes": cast("int", sharded.stats["validation_bytes"]),
    }
    tokenizer, tracking = job.folder("tokenizer"), job.tracking
    trained = train_base.submit(job.config, train, validation, facts, tokenizer, job.work, tracking)
    stats = trained.result()
    stats["unigram_bits_per_byte"] = sharded.stats["unigram_bits_per_byte"]  # to be beaten
    return Outcome(count_rows(train), 1, stats)


@task(task_run_name="pretrain on {config.tokens} tokens", cache_policy=NO_CACHE)
def train_base(
    config: PretrainConfig,
    train: list[Path],
    validation: list[Path],
    facts: dict[str, int],
    tokenizer: Path,
    work: Path,
    tracking: Path | None = None,
) -> dict[str, Any]:
    """Train, save the model and the loss curve; returns the run's figures.

    `tracking` is where event files may be left: `…/RECIPE/STAGE-FINGERPRINT`.
    """
    from tasks.lm.loop import carry_out  # torch: 2 s, only wanted where it trains
    from tasks.pretrain.train import PretrainJob, TrainingData

    data = TrainingData(
        train, validation, facts["validation_bytes"], facts["sequence_length"], tokenizer
    )
    return carry_out(PretrainJob(config=config, data=data, work=work, tracking=tracking))
