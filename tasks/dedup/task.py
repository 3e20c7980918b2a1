"""How dedup is placed: sign and filter each shard, match once in between."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from storage.parquet import shard_name
from storage.workspace import Workspace
from tasks.dedup.config import DedupConfig
from tasks.dedup.dedup import filter_shard, match, sign_shard
from tasks.dedup.selection import DocumentShard
from tasks.progress import track

DUPLICATES = "duplicates.parquet"


@task(task_run_name="sign shard {number} of {count}", cache_policy=NO_CACHE)
def sign(
    number: int, count: int, documents: DocumentShard, config: DedupConfig, work: Path
) -> Path:
    """Write the candidate keys of one shard; returns the file."""
    target = Workspace(work).scratch / shard_name("signatures", number - 1, count)
    sign_shard(documents, config, target)
    return target


@task(task_run_name="match documents", cache_policy=NO_CACHE)
def match_documents(
    documents: Sequence[DocumentShard], signatures: Sequence[Path], config: DedupConfig, work: Path
) -> Path:
    """Measure candidate pairs and decide which documents go; returns the evidence file."""
    workspace = Workspace(work)
    total = sum(shard.num_rows for shard in documents)
    with track("match documents", total, "documents") as bar:
        match(documents, signatures, config, workspace, DUPLICATES, bar.advance)
    return workspace.data / DUPLICATES


@task(task_run_name="filter shard {number} of {count}", cache_policy=NO_CACHE)
def filter_documents(
    number: int, count: int, documents: DocumentShard, duplicates: Path, work: Path
) -> Path:
    """Write one shard without its duplicates; returns the documents file."""
    path = shard_name("documents", number - 1, count)
    workspace = Workspace(work)
    filter_shard(documents, duplicates, workspace, path)
    return workspace.data / path
