"""Clean: pages to documents, each drop with its reason."""

from __future__ import annotations

from prefect import flow

from flows.earlier import earlier_cleaning
from flows.parameters import CleanInputs, RunOptions, StageResult
from flows.stage_run import (
    Job,
    Outcome,
    count_rows,
    results,
    run_stage,
)
from storage.errors import NothingLeft
from tasks.clean.clean import PageShard, count_reasons, count_reused, count_trimmed, describe
from tasks.clean.config import CleanConfig
from tasks.clean.task import clean_pages


@flow(name="clean", flow_run_name="clean for {options.recipe}")
def clean(
    *, options: RunOptions, inputs: CleanInputs = CleanInputs(), config: CleanConfig
) -> StageResult:
    """Extract text, detect its language, drop poor pages.

    Args:
        options: where it runs, and whether it is built again
        inputs: the artifacts that it is made from
        config: the stage's knobs, as the recipe sets them
    """

    def build(job: Job) -> Outcome:
        pages, fetches = job.files("crawl", "pages/"), job.files("crawl", "fetches/")
        warc = job.folder("crawl", "warc/") / "warc"
        shards = [PageShard(page, fetch, warc) for page, fetch in zip(pages, fetches, strict=True)]
        work, forgotten = job.workspace.root, job.forgotten
        earlier = None if options.force else earlier_cleaning(job.store, config, options.recipe)
        lent = [() if earlier is None else earlier.lending(page.name) for page in pages]
        futures = [
            clean_pages.submit(number, len(shards), shard, config, work, forgotten, known)
            for number, (shard, known) in enumerate(zip(shards, lent, strict=True), 1)
        ]
        documents = results(futures)
        rows_in, rows_out = count_rows(pages), count_rows(documents)
        rejects = sorted((job.workspace.data / "rejects").glob("part-*.parquet"))
        reasons = count_reasons(rejects)
        if rows_out == 0:
            raise NothingLeft(
                f"none of {rows_in} pages became a document (dropped: {reasons}); expected at "
                "least one. Loosen clean.filters or clean.languages, or choose another "
                "clean.extractor."
            )
        reused = {} if earlier is None else earlier.account(count_reused(job.workspace), rows_in)
        found = {"dropped": reasons, **describe(documents), **reused}
        if trimmed := count_trimmed(job.workspace):
            found["trimmed_lines"] = trimmed
        return Outcome(rows_in, rows_out, found)

    return run_stage("clean", config, inputs, options, build)
