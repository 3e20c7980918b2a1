"""Dedup: documents without their duplicates, and the evidence for each drop."""

from __future__ import annotations

from prefect import flow

from flows.against import is_named
from flows.parameters import DedupInputs, RunOptions, StageResult
from flows.stage_run import (
    Job,
    Outcome,
    count_rows,
    results,
    run_stage,
)
from storage.errors import NothingLeft
from tasks.dedup.config import DedupConfig
from tasks.dedup.dedup import count_duplicates
from tasks.dedup.earlier import EarlierIndex
from tasks.dedup.selection import document_shards
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
        told = (job.files("quality", prefix) for prefix in ("scores/", "rejects/"))
        shards = tuple(document_shards(job.files("clean", "documents/"), *told))
        work = DedupWork(shards, _earlier(job, config), config, job.workspace.root)
        steps = range(1, work.num_groups + 1)
        results([sign.submit(number, work) for number in range(1, work.num_shards + 1)])
        results([link.submit(number, work) for number in steps])
        num_parts = connect.submit(work).result()
        results([shortlist.submit(number, work) for number in range(1, work.num_listed + 1)])
        results([match.submit(n, num_parts, work) for n in range(1, num_parts + 1)])
        found = conclude.submit(work).result()
        kept = [filter_documents.submit(n, work) for n in range(1, work.num_shards + 1)]
        results([index.submit(number, work) for number in steps])
        rows_in, rows_out = sum(shard.num_rows for shard in shards), count_rows(results(kept))
        stats = count_duplicates(found)
        if rows_out == 0:
            raise NothingLeft(
                f"none of {rows_in} documents stays ({stats}); expected at least one. They are all "
                "in the corpora of dedup.against, or there was none."
            )
        return Outcome(rows_in, rows_out, stats)

    return run_stage("dedup", config, inputs, options, build)


def _earlier(job: Job, config: DedupConfig) -> tuple[EarlierIndex, ...]:
    """The corpora that this one is held against; raises RequestError if one is not comparable."""
    found = []
    for name, manifest in job.inputs.items():
        if is_named(name):
            folder = job.folder(name, "index/")
            documents = tuple(job.files(name, "documents/"))
            index = EarlierIndex(manifest.label, folder, documents)
            index.check(config)
            found.append(index)
    return tuple(found)
