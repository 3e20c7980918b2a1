"""How the crawl is placed: one task for the site, one for the index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from storage.takedown import NOTHING, Forgotten
from storage.workspace import Workspace
from tasks.crawl.config import CrawlConfig
from tasks.crawl.crawler import crawl
from tasks.crawl.index import write_index
from tasks.crawl.pydoc_site import serving


@task(task_run_name="crawl {config.source.seeds[0]}", cache_policy=NO_CACHE)
def crawl_site(config: CrawlConfig, work: Path, forgotten: Forgotten = NOTHING) -> Path:
    """Crawl into the scratch folder, going on where an interrupted crawl stopped."""
    with serving(config.source.site):
        crawl(config.source, Workspace(work).scratch, forgotten)
    return work


@task(task_run_name="index pages", cache_policy=NO_CACHE)
def index_pages(config: CrawlConfig, work: Path, forgotten: Forgotten = NOTHING) -> dict[str, Any]:
    """Write WARC, page index, fetch log and rejects."""
    return write_index(Workspace(work), config.num_shards, forgotten)
