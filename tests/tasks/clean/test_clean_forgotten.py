"""Pages and documents that were taken down: left out when cleaning, and out of what was cleaned."""

from __future__ import annotations

from dataclasses import astuple
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from storage.identities import document_id
from storage.takedown import NOTHING, Forgotten, Kind, Takedown, identify
from storage.workspace import Workspace
from tasks.clean import clean
from tasks.clean.clean import TABLES, CleanPaths, PageShard, clean_shard
from tasks.clean.config import CleanConfig
from tasks.clean.extractors import Resiliparse
from tasks.clean.filters import Length
from tasks.clean.rewrite import CleanedShard, rewrite_shard
from tests.tasks.clean.conftest import Page, WriteShard

PATHS = CleanPaths(*(f"{table}/a.parquet" for table in TABLES))
FILES = astuple(PATHS)
CONFIG = CleanConfig(extractor=Resiliparse(), filters=(Length(min_words=5),))
TEXT = "the river carries number {} down to the sea"
SHORT = "too short {}"
PAGES = [
    *(Page(f"http://a/{n}", f"<p>{TEXT.format(n)}</p>".encode()) for n in range(6)),
    *(Page(f"http://b/{n}", f"<p>{SHORT.format(n)}</p>".encode()) for n in range(3)),
    Page("http://b/empty", b""),
]


def _forgotten(*rules: tuple[Kind, str]) -> Forgotten:
    at = datetime(2026, 11, 21, tzinfo=UTC)
    return Forgotten(
        tuple(
            Takedown(id=identify(kind, value), kind=kind, value=value, why="", by="", at=at)
            for kind, value in rules
        )
    )


def _clean(shard: PageShard, root: Path, forgotten: Forgotten = NOTHING) -> Workspace:
    workspace = Workspace(root)
    clean_shard(shard, CONFIG, workspace, PATHS, forgotten=forgotten)
    return workspace


def _ids(url: str, text: str) -> tuple[Kind, str]:
    return "document", document_id(url, text)


def test_a_page_is_a_reject_and_not_read(write_shard: WriteShard, tmp_path: Path) -> None:
    shard = write_shard(PAGES)
    offsets = {r["page_id"]: r["warc_offset"] for r in pq.read_table(shard.fetches).to_pylist()}
    (warc,) = shard.warc.iterdir()
    data = bytearray(warc.read_bytes())
    data[offsets[PAGES[2].page_id]] ^= 255  # reading it would raise
    warc.write_bytes(data)
    workspace = _clean(shard, tmp_path / "out", _forgotten(("url", "http://a/2")))
    documents, _, rejects = (pq.read_table(workspace.data / f).to_pylist() for f in FILES[:3])
    assert "http://a/2" not in {row["url"] for row in documents} and len(documents) == 5
    (reject,) = (row for row in rejects if row["reason"] == "forgotten")
    assert reject == {
        "id": "http://a/2",
        "url": "http://a/2",
        "stage": "clean",
        "reason": "forgotten",
        "value": "url http://a/2",
        "threshold": "content that was not taken down",
    }


def test_a_document_is_a_reject_by_its_id(write_shard: WriteShard, tmp_path: Path) -> None:
    rule = _ids("http://a/2", TEXT.format(2))
    other = _ids("http://a/3", TEXT.format(2))  # the same text elsewhere is another document
    workspace = _clean(write_shard(PAGES), tmp_path / "out", _forgotten(rule, other))
    documents, origins, rejects = (pq.read_table(workspace.data / f).to_pylist() for f in FILES[:3])
    assert len(documents) == len(origins) == 5
    assert [r["id"] for r in rejects if r["reason"] == "forgotten"] == [rule[1]]


@pytest.mark.parametrize("dropped", [{0}, {1, 4}, {7}, {9}, set(range(6)), set(range(10)), set()])
@pytest.mark.parametrize(
    "rules",
    [
        (),
        (
            *(_ids(f"http://a/{n}", TEXT.format(n)) for n in (2, 3, 5)),
            _ids("http://b/0", SHORT.format(0)),
        ),
    ],
)
def test_rewriting_gives_what_cleaning_the_rest_gives(
    write_shard: WriteShard,
    tmp_path: Path,
    dropped: set[int],
    rules: tuple[tuple[Kind, str], ...],
) -> None:
    """All tables, byte for byte."""
    forgotten = _forgotten(*rules)
    rest = [page for number, page in enumerate(PAGES) if number not in dropped]
    before = _clean(write_shard(PAGES), tmp_path / "before")
    expected = _clean(write_shard(rest), tmp_path / "expected", forgotten)
    rewritten = Workspace(tmp_path / "rewritten")
    tables = CleanedShard(*(before.data / file for file in FILES))
    rewrite_shard(tables, {page.url for page in rest}, forgotten, rewritten, PATHS)
    for file in FILES:
        assert (rewritten.data / file).read_bytes() == (expected.data / file).read_bytes(), file


def test_tables_without_a_row_are_no_files(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    rewrite_shard(CleanedShard(None, None, None, None), {"http://a/1"}, NOTHING, workspace, PATHS)
    assert [pq.read_metadata(workspace.data / file).num_rows for file in FILES[:3]] == [0, 0, 0]
    assert not (workspace.data / PATHS.signals).exists()
    assert clean.reject_forgotten("id", "http://a/1", "url x")["stage"] == "clean"
