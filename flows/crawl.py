"""Crawl: websites, or files of pages, to WARC files and a page index."""

from __future__ import annotations

from prefect import flow

from flows.earlier import earlier_crawl
from flows.parameters import CrawlInputs, RunOptions, StageResult
from flows.stage_run import (
    Job,
    Outcome,
    handed,
    results,
    run_stage,
)
from tasks.crawl.config import CrawlConfig
from tasks.crawl.task import crawl_pages, index_pages


@flow(name="crawl", flow_run_name="crawl for {options.recipe}")
def crawl(
    *, options: RunOptions, inputs: CrawlInputs = CrawlInputs(), config: CrawlConfig
) -> StageResult:
    """Fetch pages, or read them from files, and index them.

    Args:
        options: where it runs, and whether it is built again
        inputs: the artifacts that it is made from
        config: the stage's knobs, as the recipe sets them
    """

    def build(job: Job) -> Outcome:
        earlier = None if options.force else earlier_crawl(job.store, options.recipe)
        crawled = crawl_pages.submit(config, job.workspace.root, job.forgotten, earlier)
        indexed = index_pages.submit(config, handed(crawled), job.forgotten)
        results([crawled])
        stats = indexed.result()
        return Outcome(stats.pop("rows_in"), stats.pop("rows_out"), stats)

    return run_stage("crawl", config, inputs, options, build)
