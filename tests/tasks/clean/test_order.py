"""What a page becomes depends on nothing but the page.

Not on the pages before it, the order, the shards, how many are cleaned at once, whether the process
is fresh, nor on a child that died in between.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.workspace import Workspace
from tasks.clean import clean
from tasks.clean.clean import TABLES, CleanPaths, clean_shard
from tasks.clean.config import CleanConfig, Sandbox
from tasks.clean.extractors import Trafilatura
from tasks.clean.filters import GopherQuality, Length, Repetition, WordBlocklist
from tasks.clean.trims import Boilerplate, C4Lines
from tests.conftest import ROOT
from tests.tasks.clean.bad_extractors import Obedient
from tests.tasks.clean.conftest import Page, write_crawl_shard
from tests.tasks.clean.fuzz.mutate import page
from tests.tasks.clean.test_earlier import InProcess

# trafilatura tries urllib3's SOCKS support when it is imported.
pytestmark = pytest.mark.filterwarnings(
    "ignore:SOCKS support in urllib3:urllib3.exceptions.DependencyWarning"
)

NUM_PAGES = 30
KEYS = {"documents": "document_id", "origins": "document_id", "rejects": "id", "signals": "id"}
CONFIG = CleanConfig(
    trims=(C4Lines(), Boilerplate()),
    filters=(
        Length(min_words=3),
        GopherQuality(min_alphabetic_share=0.5),
        Repetition(),
        WordBlocklist(terms=("phở",)),
    ),
)
Tables = tuple[pa.Table, ...]


@cache
def _pages() -> tuple[Page, ...]:
    """Pages of all kinds, some of them of the same text: a cache would find it again."""
    drawn = [page(5, number) for number in range(NUM_PAGES)]
    twins = [Page(f"{one.url}/twin", one.body, one.charset) for one in drawn[::6]]
    return tuple(one for one in (*drawn, *twins) if len(one.body) < 60_000)


def cleaned(
    shards: Sequence[Sequence[Page]], root: Path, workers: int = 1, config: CleanConfig = CONFIG
) -> Tables:
    """All tables of a cleaning in these shards, in the order of ids."""
    workspace = Workspace(root / "out")

    def one(number: int) -> CleanPaths:
        paths = CleanPaths.of(number, len(shards))
        crawled = write_crawl_shard(shards[number], root / f"crawl-{number}")
        clean_shard(crawled, config, workspace, paths)
        return paths

    with ThreadPoolExecutor(workers) as pool:
        written = list(pool.map(one, range(len(shards))))
    tables = []
    for which, table in enumerate(TABLES):
        parts = [pq.read_table(workspace.data / astuple(paths)[which]) for paths in written]
        whole = pa.concat_tables(parts)
        by = [(name, "ascending") for name in (KEYS[table], "url") if name in whole.column_names]
        tables.append(whole.sort_by(by).combine_chunks())
    return tuple(tables)


def dealt(pages: Sequence[Page], num_shards: int, seed: int) -> list[list[Page]]:
    """Pages in any order, in so many shards."""
    shuffled = random.Random(seed).sample(pages, len(pages))
    return [shuffled[start::num_shards] for start in range(num_shards)]


def same(one: Tables, other: Tables) -> bool:
    """Bit for bit, NaN too."""
    return [_bytes(table) for table in one] == [_bytes(table) for table in other]


def _bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(pa.Table.from_pylist(table.to_pylist(), schema=table.schema))
    return bytes(sink.getvalue())


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """Of the real stage: one shard, the pages in their order, the real sandbox."""
    found = cleaned([_pages()], tmp_path_factory.mktemp("expected"))
    assert min(table.num_rows for table in found) > 5
    return found


@settings(max_examples=3)
@given(num_shards=st.integers(1, 5), workers=st.sampled_from([1, 2, 4]), seed=st.integers(0, 99))
def test_order_shards_and_workers(
    expected: Tables, num_shards: int, workers: int, seed: int
) -> None:
    """Extraction in this process: also what it left behind for the pages after it."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as root:
        patch.setattr(clean, "ExtractionSandbox", InProcess)
        shards = dealt(_pages(), num_shards, seed)
        assert same(cleaned(shards, Path(root), workers), expected)


@pytest.mark.parametrize("workers", [2, 4])
def test_real_sandboxes_at_once(expected: Tables, tmp_path: Path, workers: int) -> None:
    assert same(cleaned(dealt(_pages(), workers, workers), tmp_path, workers), expected)


_FRESH = """
import sys
from pathlib import Path
from tests.tasks.clean.test_order import _bytes, _pages, cleaned, dealt
for n, table in enumerate(cleaned(dealt(_pages(), 2, 7), Path(sys.argv[1]))):
    Path(sys.argv[1], f"table-{n}").write_bytes(_bytes(table))
"""


def test_a_fresh_process(expected: Tables, tmp_path: Path) -> None:
    """Strings hash otherwise there: no set's order may show."""
    command = [sys.executable, "-c", _FRESH, str(tmp_path)]
    subprocess.run(command, check=True, cwd=ROOT, timeout=200, env={"PYTHONHASHSEED": "1"})
    found = [(tmp_path / f"table-{n}").read_bytes() for n in range(len(TABLES))]
    assert found == [_bytes(table) for table in expected]


def test_trafilatura_remembers_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps caches of its own for the whole process."""
    monkeypatch.setattr(clean, "ExtractionSandbox", InProcess)
    config = CONFIG.model_copy(update={"extractor": Trafilatura()})
    first = cleaned([_pages()], tmp_path / "1", config=config)
    assert same(cleaned(dealt(_pages(), 3, 1), tmp_path / "2", config=config), first)


def test_children_that_die_in_between(tmp_path: Path) -> None:
    """A crash costs its own page, wherever it comes, and none of the others changes."""
    config = CONFIG.model_copy(
        update={
            "extractor": Obedient(),
            "sandbox": Sandbox(timeout_s=1.0),
            "trims": (),
            "filters": (),
        }
    )
    orders = ("kill", "exit", "raise", "segfault", "hang")
    good = [Page(f"http://a/{n}", f"page {n} of many words.".encode()) for n in range(12)]
    bad = [Page(f"http://b/{n}", order.encode()) for n, order in enumerate(orders)]
    alone = cleaned([good], tmp_path / "good", config=config)
    first = cleaned([[*good, *bad]], tmp_path / "last", config=config)
    assert first[0].equals(alone[0]) and first[2].num_rows == len(bad)
    shards = dealt([*bad, *good], 2, 2)
    assert same(cleaned(shards, tmp_path / "any", 2, config), first)


def test_what_depends_on_order_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison is not blind: an extractor that remembers is found out."""

    class Remembering(InProcess):
        def extract(self, body: bytes, charset: str, url: str) -> Any:
            return super().extract(_seen.setdefault(len(body) % 7, body), charset, url)

    _seen: dict[int, bytes] = {}
    monkeypatch.setattr(clean, "ExtractionSandbox", Remembering)
    first = cleaned(dealt(_pages(), 1, 1), tmp_path / "1")
    _seen.clear()
    assert not same(cleaned(dealt(_pages(), 1, 2), tmp_path / "2"), first)
