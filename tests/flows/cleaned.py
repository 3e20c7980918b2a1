"""A real cleaning of pages that are written by hand, sealed with its crawl in a store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storage.manifest import Manifest
from storage.parquet import shard_name
from storage.workspace import Workspace
from tasks.clean.clean import CleanPaths, clean_shard
from tasks.clean.config import CleanConfig
from tasks.config import identity
from tests.flows.run_page.conftest import RUN
from tests.flows.sealed import seal
from tests.tasks.clean.conftest import Page, write_crawl_shard
from tests.tasks.clean.test_clean import CONFIG, PAGES


def seal_cleaned(
    root: Path, work: Path, pages: Sequence[Page] = PAGES, config: CleanConfig = CONFIG
) -> Manifest:
    """Crawl and cleaning of `pages`, in one shard, in the store at `root`."""
    shard = write_crawl_shard(pages, work / "crawl")
    crawl = seal(root, "crawl", "20261121-010101-000-aaaa", {
        shard_name("pages", 0, 1): pq.read_table(shard.pages),
        shard_name("fetches", 0, 1): pq.read_table(shard.fetches),
        "warc/pages.warc.gz": (shard.warc / "pages.warc.gz").read_bytes(),
    }, rows_in=len(pages), rows_out=len(pages), run=RUN)  # fmt: skip
    workspace, paths = Workspace(work / "out"), CleanPaths.of(0, 1)
    clean_shard(shard, config, workspace, paths)
    tables: dict[str, pa.Table | bytes] = {
        path: pq.read_table(workspace.data / path) for path in astuple(paths)
    }
    says: dict[str, Any] = {"config": identity(config), "run": RUN}
    says |= {"rows_in": len(pages), "rows_out": len(tables[paths.documents])}
    return seal(root, "clean", "20261121-020101-000-bbbb", tables, inputs=(crawl,), **says)
