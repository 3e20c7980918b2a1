"""Clean: pages to documents, each drop with its reason."""

from __future__ import annotations

from prefect import flow

from flows.stage_run import (
    Inputs,
    Job,
    Outcome,
    RunOptions,
    StageResult,
    count_rows,
    results,
    run_stage,
    threads,
)
from storage.errors import NothingLeft
from tasks.clean.clean import PageShard, count_reasons, describe
from tasks.clean.config import CleanConfig
from tasks.clean.task import clean_pages


@flow(
    name="clean",
    flow_run_name="clean for {options.recipe}",
    task_runner=threads(2),
)
def clean(config: CleanConfig, options: RunOptions, inputs: Inputs | None = None) -> StageResult:
    """Extract text, detect its language, drop poor pages."""

    def build(job: Job) -> Outcome:
        pages, fetches = job.files("crawl", "pages/"), job.files("crawl", "fetches/")
        warc = job.folder("crawl", "warc/") / "warc"
        shards = [PageShard(page, fetch, warc) for page, fetch in zip(pages, fetches, strict=True)]
        work, forgotten = job.workspace.root, job.forgotten
        futures = [
            clean_pages.submit(number, len(shards), shard, config, work, forgotten)
            for number, shard in enumerate(shards, 1)
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
        return Outcome(rows_in, rows_out, {"dropped": reasons, **describe(documents)})

    return run_stage("clean", config, inputs or {}, options, build)
