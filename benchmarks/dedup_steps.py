"""The steps of dedup one after the other, each over all its shards in two threads, and timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.dedup_documents import document_table
from storage.parquet import write_table
from storage.workspace import Workspace
from tasks.dedup.config import DedupConfig
from tasks.dedup.work import DedupWork, deduplicate


def run_steps(
    documents: Sequence[Path], root: Path, num_threads: int = 2
) -> Iterator[tuple[str, float]]:
    """Name and seconds of each step as it ends; the first is `compile`, on two documents."""
    yield "compile", _timed(compile_kernels)
    work = DedupWork(tuple(documents), (), DedupConfig(), root)
    with ThreadPoolExecutor(num_threads) as pool:

        def every(step: Callable[[int], object], count: int) -> Callable[[], object]:
            return lambda: list(pool.map(step, range(count)))

        yield "sign", _timed(every(work.sign, work.num_shards))
        yield "link", _timed(every(work.link, work.num_groups))
        yield "connect", _timed(work.connect)
        yield "shortlist", _timed(every(work.shortlist, work.num_listed))
        yield "match", _timed(every(work.match, work.num_parts))
        yield "conclude", _timed(work.conclude)
        yield "filter", _timed(every(work.filter, work.num_shards))
        yield "index", _timed(every(work.index, work.num_groups))


def compile_kernels() -> None:
    """Compile them, or read them from numba's cache, on two documents that are alike."""
    with TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder) / "corpus")
        columns = {"document_id": ["0" * 32, "1" * 32], "url": ["a", "b"], "text": ["a b", "a b"]}
        write_table(workspace, "documents.parquet", document_table(columns, 2))
        documents = (workspace.data / "documents.parquet",)
        deduplicate(DedupWork(documents, (), DedupConfig(), Path(folder) / "dedup"))


def _timed(step: Callable[[], object]) -> float:
    begun = time.perf_counter()
    step()
    return time.perf_counter() - begun
