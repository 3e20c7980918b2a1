"""Dedup: documents without their duplicates, and the evidence for each drop."""

from __future__ import annotations

from prefect import flow

from flows.parameters import DedupInputs, RunOptions, StageResult
from flows.stage_run import (
    Job,
    Outcome,
    count_rows,
    handed,
    results,
    run_stage,
)
from tasks.dedup.config import DedupConfig
from tasks.dedup.dedup import most_copies
from tasks.dedup.selection import document_shards
from tasks.dedup.task import filter_documents, match_documents, sign


@flow(name="dedup", flow_run_name="dedup for {options.recipe}")
def dedup(
    *, options: RunOptions, inputs: DedupInputs = DedupInputs(), config: DedupConfig
) -> StageResult:
    """Keep the best document of each cluster of duplicates.

    Args:
        options: where it runs, and whether it is built again
        inputs: the artifacts that it is made from
        config: the stage's knobs, as the recipe sets them
    """

    def build(job: Job) -> Outcome:
        work = job.workspace.root
        told = (job.files("quality", prefix) for prefix in ("scores/", "rejects/"))
        shards = document_shards(job.files("clean", "documents/"), *told)
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
        num_documents = sum(shard.num_rows for shard in shards)
        return Outcome(num_documents, count_rows(kept), stats)

    return run_stage("dedup", config, inputs, options, build)
