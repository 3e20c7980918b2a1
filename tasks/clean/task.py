"""How cleaning is placed: one task for each shard of pages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
from prefect import task
from prefect.cache_policies import NO_CACHE

from storage.takedown import NOTHING, Forgotten
from storage.workspace import Workspace
from tasks.clean.clean import CleanPaths, PageShard, clean_shard
from tasks.clean.config import CleanConfig
from tasks.clean.earlier import EarlierShard
from tasks.progress import track


@task(task_run_name="clean shard {number} of {count}", cache_policy=NO_CACHE)
def clean_pages(
    number: int,
    count: int,
    shard: PageShard,
    config: CleanConfig,
    work: Path,
    forgotten: Forgotten = NOTHING,
    earlier: Sequence[EarlierShard] = (),
) -> Path:
    """Clean one shard of pages; returns the documents file."""
    paths = CleanPaths.of(number - 1, count)
    workspace = Workspace(work)
    total = pq.read_metadata(shard.pages).num_rows
    with track(f"clean shard {number} of {count}", total, "pages") as bar:
        clean_shard(shard, config, workspace, paths, bar.advance, forgotten, earlier)
    return workspace.data / paths.documents
