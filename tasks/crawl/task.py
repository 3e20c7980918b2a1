"""How the crawl is placed: one task for the pages, one for the index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import task_run

from storage.errors import DamagedArtifact
from storage.takedown import NOTHING, Forgotten
from storage.workspace import Workspace
from tasks.crawl.config import CrawlConfig
from tasks.crawl.index import write_index
from tasks.crawl.ingest import ingest
from tasks.crawl.live.crawler import crawl
from tasks.crawl.live.pydoc_site import serving
from tasks.crawl.previous_crawl import PreviousCrawl
from tasks.crawl.sources import WebSource
from tasks.progress import note
from tasks.stage import Job, Outcome, handed, results


def build(job: Job) -> Outcome:
    """Fetch or read pages, then index them; unchanged pages are taken over from the last crawl."""
    last = None if job.force else _last_crawl(job)
    crawled = crawl_pages.submit(job.config, job.work, job.forgotten, last)
    indexed = index_pages.submit(job.config, handed(crawled), job.forgotten)
    results([crawled])
    stats = indexed.result()
    return Outcome(stats.pop("rows_in"), stats.pop("rows_out"), stats)


def _last_crawl(job: Job) -> PreviousCrawl | None:
    """The recipe's last crawl with its files here, or None: what it has need not be sent again.

    On a remote store what is not cached yet is fetched.
    """
    store = job.store
    last = store.latest(job.instance, job.recipe)
    if last is None or last.stage != job.stage.name or last.code.stage_version != job.stage.version:
        return None
    if not store.is_whole(last):
        return None
    try:
        pages, fetches = (store.files(last, f"{table}/") for table in ("pages", "fetches"))
        return PreviousCrawl(last.label, pages, fetches, store.folder(last, "warc/") / "warc")
    except DamagedArtifact as error:
        note(f"{job.instance}: passed over {last.label}, whose files cannot be read: {error}")
        return None


def _name() -> str:
    source = task_run.parameters["config"].source
    return f"crawl {source.seeds[0]}" if isinstance(source, WebSource) else f"read {source.kind}"


@task(task_run_name=_name, cache_policy=NO_CACHE)
def crawl_pages(
    config: CrawlConfig,
    work: Path,
    forgotten: Forgotten = NOTHING,
    earlier: PreviousCrawl | None = None,
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
