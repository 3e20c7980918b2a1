"""Documents in shards, and a run of the whole stage on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from storage.identities import document_id
from storage.parquet import read_table, shard_name, write_rows
from storage.records import DOCUMENT
from storage.workspace import Workspace
from tasks.dedup.config import DedupConfig
from tasks.dedup.keys import EarlierIndex
from tasks.dedup.work import DUPLICATES, DedupWork, deduplicate

Row = dict[str, Any]


@dataclass(frozen=True)
class Deduped:
    kept: list[Row]
    dropped: list[Row]
    root: Path

    work: DedupWork

    @property
    def index(self) -> EarlierIndex:
        """What later corpora are held against."""
        folder = self.root / "dedup" / "data"
        documents = tuple(sorted((folder / "documents").glob("*.parquet")))
        return EarlierIndex(self.root.name, folder, documents)

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
        "canonical": "",
        "text": text,
        "extractor": "tests",
        "language": "en",
        "language_score": 1.0,
        "num_words": len(text.split()),
        "repeated_share": 0.0,
        "pii": [],
        "quality": 0.5,
        **facts,
    }


def run_dedup(
    root: Path,
    rows: Sequence[Row],
    config: DedupConfig | None = None,
    num_shards: int = 1,
    earlier: Sequence[EarlierIndex] = (),
) -> Deduped:
    """The stage on documents dealt over shards, in a folder that is named for the corpus."""
    config = config or DedupConfig()
    source = Workspace(root / "clean")
    names = [shard_name("documents", shard, num_shards) for shard in range(num_shards)]
    for shard, name in enumerate(names):
        write_rows(source, name, rows[shard::num_shards], DOCUMENT)
    documents = tuple(source.data / name for name in names)
    work = DedupWork(documents, tuple(earlier), config, root / "dedup")
    deduplicate(work)
    kept = read_table([work.workspace.data / name for name in names]).to_pylist()
    dropped = pq.read_table(work.workspace.data / DUPLICATES).to_pylist()
    return Deduped(kept, dropped, root, work)


@pytest.fixture
def dedup(tmp_path: Path) -> Dedup:
    """Runs the stage on documents, each time in a folder of its own."""

    def run(
        rows: Sequence[Row],
        config: DedupConfig | None = None,
        num_shards: int = 1,
        earlier: Sequence[EarlierIndex] = (),
    ) -> Deduped:
        root = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
        return run_dedup(root, rows, config, num_shards, earlier)

    return run
