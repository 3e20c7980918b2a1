"""Crawl: a website to WARC files and a page index."""

from __future__ import annotations

from prefect import flow

from flows.stage_run import (
    Inputs,
    Job,
    Outcome,
    RunOptions,
    StageResult,
    handed,
    results,
    run_stage,
    threads,
)
from tasks.crawl.config import CrawlConfig
from tasks.crawl.task import crawl_site, index_pages


@flow(
    name="crawl",
    flow_run_name="crawl for {options.recipe}",
    task_runner=threads(2),
)
def crawl(config: CrawlConfig, options: RunOptions, inputs: Inputs | None = None) -> StageResult:
    """Fetch the pages of a website and index them."""

    def build(job: Job) -> Outcome:
        crawled = crawl_site.submit(config, job.workspace.root, job.forgotten)
        indexed = index_pages.submit(config, handed(crawled), job.forgotten)
        results([crawled])
        stats = indexed.result()
        return Outcome(stats.pop("rows_in"), stats.pop("rows_out"), stats)

    return run_stage("crawl", config, inputs or {}, options, build)
