"""Dedup: documents without their duplicates, and the evidence for each drop."""

from __future__ import annotations

from pathlib import Path

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
from tasks.dedup.documents import document_shards
from tasks.dedup.editing import TextWork
from tasks.dedup.keys import EarlierIndex
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
    select,
    shortlist,
    sign,
    survey,
)
from tasks.dedup.work import DedupWork, count_duplicates


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
        documents = _select(job)
        passes = Passes(documents, _earlier(job, config), config, job.workspace.root)
        for work in passes.all:
            if isinstance(work, DedupWork):
                _drop_duplicates(work, with_index=work is passes.all[-1])
            elif isinstance(work, TextWork):
                _edit_texts(work)
            else:
                results([screen.submit(n, work) for n in range(1, work.num_shards + 1)])
        stats = count_duplicates(gather.submit(passes).result()) | passes.describe()
        rows_in, rows_out = count_rows(documents), count_rows(passes.all[-1].outputs)
        if rows_out == 0:
            raise NothingLeft(
                f"none of {rows_in} documents stays ({stats}); expected at least one. They are all "
                "in the corpora of dedup.against, or there was none."
            )
        return Outcome(rows_in, rows_out, stats)

    return run_stage("dedup", config, inputs, options, build)


def _select(job: Job) -> tuple[Path, ...]:
    """The documents that the quality stage let through, in scratch where it scored them."""
    documents, scores = job.files("clean", "documents/"), job.files("quality", "scores/")
    if not scores:
        return tuple(documents)
    shards = document_shards(documents, scores, job.files("quality", "rejects/"))
    targets = [job.workspace.scratch / "selected" / shard.documents.name for shard in shards]
    chosen = enumerate(zip(shards, targets, strict=True), 1)
    results([select.submit(n, len(shards), shard, target) for n, (shard, target) in chosen])
    return tuple(targets)


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
