"""Crawl: a website to WARC files and a page index."""

from __future__ import annotations

from prefect import flow

from flows.parameters import CrawlInputs, RunOptions, StageResult
from flows.stage_run import (
    Job,
    Outcome,
    handed,
    results,
    run_stage,
)
from tasks.crawl.config import CrawlConfig
from tasks.crawl.task import crawl_site, index_pages


@flow(name="crawl", flow_run_name="crawl for {options.recipe}")
def crawl(
    *, options: RunOptions, inputs: CrawlInputs = CrawlInputs(), config: CrawlConfig
) -> StageResult:
    """Fetch the pages of a website and index them.

    Args:
        options: where it runs, and whether it is built again
        inputs: the artifacts that it is made from
        config: the stage's knobs, as the recipe sets them
    """

    def build(job: Job) -> Outcome:
        crawled = crawl_site.submit(config, job.workspace.root, job.forgotten)
        indexed = index_pages.submit(config, handed(crawled), job.forgotten)
        results([crawled])
        stats = indexed.result()
        return Outcome(stats.pop("rows_in"), stats.pop("rows_out"), stats)

    return run_stage("crawl", config, inputs, options, build)
