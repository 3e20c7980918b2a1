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
from tasks.dedup.passes import Passes, carry_out
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
    def evidence(self) -> bytes:
        """The file of duplicates."""
        return (self.root / "dedup" / "data" / DUPLICATES).read_bytes()

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


def write_shards(root: Path, rows: Sequence[Row], num_shards: int = 1) -> tuple[Path, ...]:
    """Documents dealt over shards, as the clean stage writes them."""
    source = Workspace(root / "clean")
    names = [shard_name("documents", shard, num_shards) for shard in range(num_shards)]
    for shard, name in enumerate(names):
        write_rows(source, name, rows[shard::num_shards], DOCUMENT)
    return tuple(source.data / name for name in names)


def run_passes(root: Path, rows: Sequence[Row], config: DedupConfig, num_shards: int = 1) -> Passes:
    """All passes of a configuration on documents."""
    passes = Passes(write_shards(root, rows, num_shards), (), config, root / "dedup")
    carry_out(passes)
    return passes


def run_dedup(
    root: Path,
    rows: Sequence[Row],
    config: DedupConfig | None = None,
    num_shards: int = 1,
    earlier: Sequence[EarlierIndex] = (),
) -> Deduped:
    """The stage on documents dealt over shards, in a folder that is named for the corpus."""
    config = config or DedupConfig()
    work = DedupWork(write_shards(root, rows, num_shards), tuple(earlier), config, root / "dedup")
    deduplicate(work)
    kept = read_table(work.outputs).to_pylist()
    dropped = pq.read_table(work.workspace.data / DUPLICATES).to_pylist()
    return Deduped(kept, dropped, root, work)


@pytest.fixture
def dedup(tmp_path: Path) -> Dedup:
    """Runs the stage on documents, each time in a folder of its own."""

    def run(rows: Sequence[Row], config: DedupConfig | None = None, **more: Any) -> Deduped:
        root = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
        return run_dedup(root, rows, config, **more)

    return run
