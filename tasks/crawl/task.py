"""How the crawl is placed: one task for the pages, one for the index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import task_run

from storage.takedown import NOTHING, Forgotten
from storage.workspace import Workspace
from tasks.crawl.config import CrawlConfig
from tasks.crawl.index import write_index
from tasks.crawl.ingest import ingest
from tasks.crawl.live.crawler import crawl
from tasks.crawl.live.pydoc_site import serving
from tasks.crawl.previous_crawl import EarlierCrawl
from tasks.crawl.sources import WebSource


def _name() -> str:
    source = task_run.parameters["config"].source
    return f"crawl {source.seeds[0]}" if isinstance(source, WebSource) else f"read {source.kind}"


@task(task_run_name=_name, cache_policy=NO_CACHE)
def crawl_pages(
    config: CrawlConfig,
    work: Path,
    forgotten: Forgotten = NOTHING,
    earlier: EarlierCrawl | None = None,
) -> Path:
    """Collect pages in the scratch folder, going on where an interrupted attempt stopped."""
    scratch = Workspace(work).scratch
    if not isinstance(config.source, WebSource):
        ingest(config.source, scratch, forgotten)
        return work
    with serving(config.source.site):
        crawl(config.source, scratch, forgotten, earlier)
    return work


@task(task_run_name="index pages", cache_policy=NO_CACHE)
def index_pages(config: CrawlConfig, work: Path, forgotten: Forgotten = NOTHING) -> dict[str, Any]:
    """Write WARC files, page index, fetch log, hosts and rejects."""
    return write_index(Workspace(work), config.num_shards, forgotten)
