"""How cleaning is placed: one task for each shard of pages, a large one in a process of its own.

Threads share one lock on Python. What cleaning does beside extraction (2 ms of 4 a page, half of it
in fastText and regular expressions) would let no number of them clean more than some 400 pages/s.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
from prefect import task
from prefect.cache_policies import NO_CACHE

from storage.takedown import NOTHING, Forgotten
from storage.workspace import Workspace
from tasks.children import call_in_child
from tasks.clean.clean import CleanPaths, PageShard, clean_shard
from tasks.clean.config import CleanConfig
from tasks.clean.earlier import EarlierShard
from tasks.progress import track

_WORTH_A_PROCESS = 1000
"""Pages, which take 6 s of CPU time; for a process to begin takes 1.2."""


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
    alone = total >= _WORTH_A_PROCESS
    run = partial(call_in_child, clean_shard) if alone else clean_shard
    with track(f"clean shard {number} of {count}", total, "pages") as bar:
        run(
            shard,
            config,
            workspace,
            paths,
            advance=bar.advance,
            forgotten=forgotten,
            earlier=earlier,
        )
    return workspace.data / paths.documents
