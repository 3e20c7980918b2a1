"""Documents in shards, and a run of the whole stage on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import settings

from storage.identities import document_id
from storage.parquet import write_rows
from storage.records import DOCUMENT
from storage.workspace import Workspace
from tasks.dedup.config import DedupConfig
from tasks.dedup.dedup import filter_shard, match, sign_shard

settings.register_profile("patient", deadline=None)  # the machine may be busy
settings.load_profile("patient")


Row = dict[str, Any]


@dataclass(frozen=True)
class Deduped:
    kept: list[Row]
    dropped: list[Row]
    root: Path

    @property
    def kept_urls(self) -> set[str]:
        return {row["url"] for row in self.kept}


Dedup = Callable[..., Deduped]


def document(url: str, text: str, **facts: Any) -> Row:
    return {
        "document_id": document_id(url, text),
        "url": url,
        "title": "",
        "date": "",
        "author": "",
        "licence": "",
        "text": text,
        "extractor": "tests",
        "language": "en",
        "language_score": 1.0,
        "num_words": len(text.split()),
        "repeated_share": 0.0,
        "pii": [],
        **facts,
    }


@pytest.fixture
def dedup(tmp_path: Path) -> Dedup:
    """Runs the stage on documents dealt over shards."""

    def run(rows: Sequence[Row], config: DedupConfig | None = None, num_shards: int = 1) -> Deduped:
        config = config or DedupConfig()
        root = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
        source, workspace = Workspace(root / "clean"), Workspace(root / "dedup")
        documents, signatures = [], []
        for shard in range(num_shards):
            name = f"part-{shard}.parquet"
            write_rows(source, name, rows[shard::num_shards], DOCUMENT)
            documents.append(source.data / name)
            signatures.append(workspace.scratch / "signatures" / name)
            sign_shard(documents[-1], config, signatures[-1])
        match(documents, signatures, config, workspace, "duplicates.parquet")
        kept = []
        for path in documents:
            filter_shard(path, workspace.data / "duplicates.parquet", workspace, path.name)
            kept += pq.read_table(workspace.data / path.name).to_pylist()
        dropped = pq.read_table(workspace.data / "duplicates.parquet").to_pylist()
        return Deduped(kept, dropped, root)

    return run
