"""Dedup: documents without their duplicates, and the evidence for each drop."""

from __future__ import annotations

from prefect import flow

from flows.parameters import DedupInputs, RunOptions, StageResult
from flows.stage_run import (
    Job,
    Outcome,
    count_rows,
    results,
    run_stage,
)
from tasks.dedup.config import DedupConfig
from tasks.dedup.dedup import most_copies
from tasks.dedup.task import (
    conclude,
    connect,
    filter_documents,
    index,
    link,
    match,
    shortlist,
    sign,
)
from tasks.dedup.work import DedupWork


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
        shards = tuple(job.files("clean", "documents/"))
        work = DedupWork(shards, (), config, job.workspace.root)
        steps = range(1, work.num_groups + 1)
        results([sign.submit(number, work) for number in range(1, work.num_shards + 1)])
        results([link.submit(number, work) for number in steps])
        num_parts = connect.submit(work).result()
        results([shortlist.submit(number, work) for number in range(1, work.num_listed + 1)])
        results([match.submit(n, num_parts, work) for n in range(1, num_parts + 1)])
        found = conclude.submit(work).result()
        kept = [filter_documents.submit(n, work) for n in range(1, work.num_shards + 1)]
        results([index.submit(number, work) for number in steps])
        stats = {"duplicates": count_rows([found]), "most_copies": most_copies(found)}
        return Outcome(count_rows(shards), count_rows(results(kept)), stats)

    return run_stage("dedup", config, inputs, options, build)
