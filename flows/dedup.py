"""Dedup: documents without their duplicates, and the evidence for each drop."""

from __future__ import annotations

from prefect import flow

from flows.stage_run import (
    Inputs,
    Job,
    Outcome,
    RunOptions,
    StageResult,
    count_rows,
    handed,
    results,
    run_stage,
    threads,
)
from tasks.dedup.config import DedupConfig
from tasks.dedup.dedup import most_copies
from tasks.dedup.task import filter_documents, match_documents, sign


@flow(
    name="dedup",
    flow_run_name="dedup for {options.recipe}",
    task_runner=threads(2),
)
def dedup(config: DedupConfig, options: RunOptions, inputs: Inputs | None = None) -> StageResult:
    """Keep the best document of each cluster of duplicates."""

    def build(job: Job) -> Outcome:
        shards, work = job.files("clean", "documents/"), job.workspace.root
        count = len(shards)
        signatures = [
            sign.submit(number, count, shard, config, work)
            for number, shard in enumerate(shards, 1)
        ]
        evidence = match_documents.submit(shards, [handed(s) for s in signatures], config, work)
        futures = [
            filter_documents.submit(number, count, shard, handed(evidence), work)
            for number, shard in enumerate(shards, 1)
        ]
        results(signatures)
        found = results([evidence])
        stats = {"duplicates": count_rows(found), "most_copies": most_copies(found[0])}
        kept = results(futures)
        return Outcome(count_rows(shards), count_rows(kept), stats)

    return run_stage("dedup", config, inputs or {}, options, build)
