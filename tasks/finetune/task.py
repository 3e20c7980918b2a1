"""How fine-tuning is placed: one task for the pairs, one for the training, in process or on
several devices of its machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from storage.workspace import Workspace
from tasks.finetune.config import FinetuneConfig
from tasks.stage import Job, Outcome, handed, results


def build(job: Job) -> Outcome:
    """Make pairs of the documents and train on them; one adapter comes out."""
    pairs = build_pairs.submit(job.files("documents", "documents/"), job.config, job.work)
    base = job.input("model")
    root = base.type.root  # of a tuned model its merged weights
    trained = train_adapter.submit(
        job.config, base.folder(root) / root, handed(pairs), job.tracking
    )
    results([pairs])
    stats = trained.result()
    return Outcome(stats["pairs"] + stats["held_out_pairs"], 1, stats)


@task(task_run_name="build instruction pairs", cache_policy=NO_CACHE)
def build_pairs(documents: Sequence[Path], config: FinetuneConfig, work: Path) -> Path:
    """Write train and validation pairs."""
    from tasks.finetune.instructions import write_pairs  # torch: 2 s, only wanted where it trains

    write_pairs(documents, config, Workspace(work))
    return work


@task(task_run_name="train {config.adapter.kind} adapter", cache_policy=NO_CACHE)
def train_adapter(
    config: FinetuneConfig, base: Path, work: Path, tracking: Path | None = None
) -> dict[str, Any]:
    """Train and save adapter, merged model and loss curve; returns the run's figures.

    `tracking` is where event files may be left: `…/RECIPE/STAGE-FINGERPRINT`.
    """
    from tasks.finetune.train import FinetuneJob
    from tasks.lm.loop import carry_out

    return carry_out(FinetuneJob(config=config, base=base, work=work, tracking=tracking))
