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
from tasks.dedup.editing import TextWork
from tasks.dedup.passes import Passes
from tasks.dedup.task import (
    conclude,
    connect,
    edit,
    filter_documents,
    find_repeats,
    gather,
    index,
    link,
    match,
    rank,
    screen,
    shortlist,
    sign,
    survey,
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
        passes = Passes(shards, (), config, job.workspace.root)
        for work in passes.all:
            if isinstance(work, DedupWork):
                _drop_duplicates(work, with_index=work is passes.all[-1])
            elif isinstance(work, TextWork):
                _edit_texts(work)
            else:
                results([screen.submit(n, work) for n in range(1, work.num_shards + 1)])
        found = gather.submit(passes).result()
        stats = {"duplicates": count_rows([found]), "most_copies": most_copies(found)}
        kept = count_rows(passes.all[-1].outputs)
        return Outcome(count_rows(shards), kept, {**stats, **passes.describe()})

    return run_stage("dedup", config, inputs, options, build)


def _drop_duplicates(work: DedupWork, *, with_index: bool) -> None:
    """One pass of methods that drop documents."""
    shards, steps = range(1, work.num_shards + 1), range(1, work.num_groups + 1)
    results([sign.submit(number, work) for number in shards])
    results([link.submit(number, work) for number in steps])
    num_parts = connect.submit(work).result()
    results([shortlist.submit(number, work) for number in range(1, work.num_listed + 1)])
    results([match.submit(n, num_parts, work) for n in range(1, num_parts + 1)])
    conclude.submit(work).result()
    results([filter_documents.submit(number, work) for number in shards])
    if with_index:
        results([index.submit(number, work) for number in steps])


def _edit_texts(work: TextWork) -> None:
    """One pass of a method that cuts repeats out of texts."""
    shards = range(1, work.num_shards + 1)
    rank.submit(work).result()
    results([survey.submit(number, work) for number in shards])
    num_parts = work.num_parts
    results([find_repeats.submit(n, num_parts, work) for n in range(1, num_parts + 1)])
    results([edit.submit(number, work) for number in shards])
