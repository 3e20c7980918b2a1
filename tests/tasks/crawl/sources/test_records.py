"""Tables: JSON lines and Parquet."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import RequestError
from tasks.crawl.sources import RecordsSource
from tests.tasks.crawl.sources.reading import read_all

ROWS = [
    {"text": "Phù sa", "url": "HTTP://a.test:80/1#x", "n": 1},
    {"text": "two", "url": "http://a.test/2", "n": None},
]
PACKED = {".jsonl": bytes, ".jsonl.gz": gzip.compress, ".jsonl.zst": zstd.compress}


def _lines(rows: Sequence[Any]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(list(rows)), path, row_group_size=2)
    else:
        pack = PACKED["".join(path.suffixes)]
        path.write_bytes(pack(_lines(rows)))
    return path


FORMATS = (*PACKED, ".parquet")


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_gives_the_same_pages(tmp_path: Path, suffix: str) -> None:
    path = _write(tmp_path / f"t{suffix}", ROWS)
    source = RecordsSource(paths=(str(path),), url_column="url")
    pages, rejects = read_all(source, tmp_path / "scratch")
    assert [(url, page.body.decode()) for url, page in pages.items()] == [
        ("http://a.test/1", "Phù sa"),
        ("http://a.test/2", "two"),
    ]
    assert rejects == []
    assert {(p.content_type, p.charset) for p in pages.values()} == {("text/plain", "utf-8")}


@pytest.mark.parametrize("suffix", FORMATS)
def test_rows_without_a_url_have_one_by_their_number(tmp_path: Path, suffix: str) -> None:
    _write(tmp_path / f"t{suffix}", ROWS * 100)
    for base, start in (("file:///", "file:///"), ("http://a.test/x", "http://a.test/x/")):
        source = RecordsSource(paths=(str(tmp_path),), base_url=base, content_type="text/markdown")
        pages, _ = read_all(source, tmp_path / "scratch")
        assert list(pages) == [f"{start}t{suffix}/{i}" for i in range(200)]
        assert {p.content_type for p in pages.values()} == {"text/markdown"}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"text": None, "url": "http://a.test/"}, "bad_record"),
        ({"text": 3, "url": "http://a.test/"}, "bad_record"),
        ({"url": "http://a.test/"}, "bad_record"),
        ({"text": "", "url": "http://a.test/"}, "empty_body"),
        ({"text": "x" * 1001, "url": "http://a.test/"}, "too_large"),
        ({"text": "x", "url": "not a URL"}, "invalid_url"),
        ({"text": "x", "url": None}, "invalid_url"),
        ({"text": "x"}, "invalid_url"),
        (["text"], "bad_record"),
        ("text", "bad_record"),
        (None, "bad_record"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, row: Any, reason: str) -> None:
    (tmp_path / "t.jsonl").write_bytes(_lines([ROWS[0], row, ROWS[1]]))
    source = RecordsSource(paths=(str(tmp_path),), url_column="url", max_page_bytes=1000)
    pages, rejects = read_all(source, tmp_path / "scratch")
    assert list(pages) == ["http://a.test/1", "http://a.test/2"]
    assert [r.reason for r in rejects] == [reason]
    if reason in ("bad_record", "invalid_url"):
        assert rejects[0].url == "t.jsonl#1"


@pytest.mark.parametrize(
    "line", [b"{", b"no", b"\xff\xfe", b'{"text": "x"', b"[" * 100_000, b'{"text": "\\ud800"}x']
)
def test_lines_that_are_no_json(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "t.jsonl").write_bytes(_lines(ROWS[:1]) + line + b"\n\n" + _lines(ROWS[1:]))
    pages, rejects = read_all(RecordsSource(paths=(str(tmp_path),)), tmp_path / "scratch")
    assert list(pages) == ["file:///t.jsonl/0", "file:///t.jsonl/3"]
    assert [(r.url, r.reason) for r in rejects] == [("t.jsonl#1", "bad_record")]


def test_half_a_surrogate_pair_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_bytes(b'{"text": "a\\ud800b"}')
    pages, _ = read_all(RecordsSource(paths=(str(tmp_path),)), tmp_path / "scratch")
    assert [p.body for p in pages.values()] == [b"ab"]


def test_a_line_without_end_is_too_large(tmp_path: Path) -> None:
    long = b'{"text": "' + b"x" * (3 << 20) + b'"}\n'
    (tmp_path / "t.jsonl").write_bytes(long + _lines(ROWS) + long.rstrip())
    source = RecordsSource(paths=(str(tmp_path),), max_page_bytes=1000)
    pages, rejects = read_all(source, tmp_path / "scratch")
    assert list(pages) == ["file:///t.jsonl/1", "file:///t.jsonl/2"]
    assert [(r.url, r.reason) for r in rejects] == [
        ("t.jsonl#0", "too_large"),
        ("t.jsonl#3", "too_large"),
    ]


@pytest.mark.parametrize("suffix", [".jsonl.gz", ".jsonl.zst", ".parquet"])
def test_a_torn_file_gives_what_is_whole(tmp_path: Path, suffix: str) -> None:
    draw = random.Random(0)
    rows = [{"text": f"{i} {draw.getrandbits(999)}"} for i in range(2000)]
    path = _write(tmp_path / f"t{suffix}", rows)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    pages, rejects = read_all(RecordsSource(paths=(str(tmp_path),)), tmp_path / "scratch")
    assert [r.reason for r in rejects] == ["bad_record"]
    assert rejects[0].url == f"t{suffix}#{len(pages)}"
    assert len(pages) > 1000 or suffix == ".parquet"  # whose table of contents is its end
    assert [p.body.decode() for p in pages.values()] == [r["text"] for r in rows[: len(pages)]]


def test_gzip_of_several_members(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl.gz").write_bytes(b"".join(gzip.compress(_lines([row])) for row in ROWS))
    pages, _ = read_all(RecordsSource(paths=(str(tmp_path),)), tmp_path / "scratch")
    assert len(pages) == 2


@pytest.mark.parametrize("data", [b"", b"PAR1", b"nothing of the kind", b"PAR1" * 9])
def test_what_is_no_parquet_file(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "t.parquet").write_bytes(data)
    pages, rejects = read_all(RecordsSource(paths=(str(tmp_path),)), tmp_path / "scratch")
    assert (pages, [r.url for r in rejects]) == ({}, ["t.parquet#0"])


def test_a_column_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    _write(tmp_path / "t.parquet", ROWS)
    source = RecordsSource(paths=(str(tmp_path),), text_column="body", url_column="link")
    with pytest.raises(RequestError, match="columns text, url, n; expected a column body and link"):
        read_all(source, tmp_path / "scratch")


def test_binary_columns_are_bytes(tmp_path: Path) -> None:
    _write(tmp_path / "t.parquet", [{"html": b"<p>caf\xe9</p>"}])
    source = RecordsSource(paths=(str(tmp_path),), text_column="html", content_type="text/html")
    pages, _ = read_all(source, tmp_path / "scratch")
    (page,) = pages.values()
    assert (page.body, page.charset, page.content_type) == (b"<p>caf\xe9</p>", "", "text/html")


@given(
    st.lists(st.text(min_size=1, max_size=30), max_size=5),
    st.sampled_from([".jsonl.gz", ".parquet"]),
)
def test_texts_come_back_as_they_are(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], suffix: str
) -> None:
    folder = tmp_path_factory.mktemp("texts")
    texts = [text.encode(errors="ignore").decode() or "x" for text in texts]
    rows = [{"text": text} for text in texts] or [{"text": "x"}]
    _write(folder / f"t{suffix}", rows)
    pages, _ = read_all(RecordsSource(paths=(str(folder),)), folder / "scratch")
    assert [page.body.decode() for page in pages.values()] == [row["text"] for row in rows]
