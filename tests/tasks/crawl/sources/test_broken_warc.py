"""WARC files that are torn, damaged, lying, or none: what is whole is read, the rest named."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.crawl.inputs.framing import Broken, frames
from tests.tasks.crawl.sources.warcs import HTML, packed, read, record, response

PAGE = b"<html><body><p>The river.</p></body></html>" * 5
URLS = [f"http://a.test/{i}" for i in range(6)]
SIX = [response(url, b"<p>%s</p>" % url.encode()) for url in URLS]
MEMBERS = packed(*SIX)
GONE = MEMBERS[2]
AT = len(MEMBERS[0]) + len(MEMBERS[1])
LIES = [9_000, 10**12, 10**30, 30, 0, -5, "many", ""]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "crawl.warc.gz"


def _flipped(member: bytes, at: int) -> bytes:
    return member[:at] + bytes([member[at] ^ 0xFF]) + member[at + 1 :]


@pytest.mark.parametrize(
    "damaged",
    [
        pytest.param(GONE[:60], id="torn"),
        pytest.param(GONE[:-1], id="torn at its last byte"),
        pytest.param(GONE[:5], id="torn in its header"),
        pytest.param(_flipped(GONE, 40), id="flipped byte"),
        pytest.param(_flipped(GONE, len(GONE) - 6), id="wrong checksum"),
        pytest.param(b"\0" * 3000, id="zeros"),
        pytest.param(b"\x1f\x8b\x08\x00 no gzip \x1f\x8b\x08", id="magic without gzip"),
        pytest.param(gzip.compress(b"hello"), id="no record in it"),
        pytest.param(gzip.compress(b"", mtime=0), id="nothing in it"),
        pytest.param(b"X" * 700_000, id="much garbage"),
        *(
            pytest.param(gzip.compress(response(URLS[2], length=lie)), id=f"length {lie}")
            for lie in LIES
        ),
        pytest.param(gzip.compress(SIX[2].replace(b"WARC-Type: response\r\n", b"")), id="no type"),
    ],
)
def test_a_broken_member_costs_itself_and_is_named(file: Path, damaged: bytes) -> None:
    pages, rejects = read(file, b"".join([*MEMBERS[:2], damaged, *MEMBERS[3:]]))
    assert list(pages) == [url for url in URLS if url != URLS[2]]
    if damaged == gzip.compress(b"", mtime=0):
        return
    assert {reject.reason for reject in rejects} == {"bad_record"}
    assert rejects[0].url == f"crawl.warc.gz#{AT}"
    assert all(reject.value and reject.threshold for reject in rejects)


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("is_packed", [True, False])
def test_a_lying_record_among_others(file: Path, lie: object, is_packed: bool) -> None:
    """In one stream, where nothing but the lie says where the next record begins."""
    data = b"".join([*SIX[:2], response(URLS[2], PAGE, length=lie), *SIX[3:]])
    pages, rejects = read(file, gzip.compress(data) if is_packed else data)
    assert list(pages) == [url for url in URLS if url != URLS[2]]
    at = len(SIX[0]) + len(SIX[1])
    assert rejects[0].url == f"crawl.warc.gz#{f'0+{at}' if is_packed else at}"


def test_garbage_between_plain_records(file: Path) -> None:
    data = b"".join([*SIX[:3], b"garbage\r\nWARC\r\n\r\n", *SIX[3:]])
    pages, rejects = read(file, data)
    assert list(pages) == URLS
    assert [r.reason for r in rejects] == ["bad_record"]


@pytest.mark.parametrize("length", range(0, len(b"".join(MEMBERS)), 97))
def test_a_torn_file_gives_all_that_is_whole(file: Path, length: int) -> None:
    ends = [len(b"".join(MEMBERS[: i + 1])) for i in range(len(MEMBERS))]
    pages, rejects = read(file, b"".join(MEMBERS)[:length])
    assert list(pages) == [url for url, end in zip(URLS, ends, strict=True) if end <= length]
    assert len(rejects) == (length not in (0, *ends))


@pytest.mark.parametrize(
    "data",
    [
        b"hello " * 1000,
        b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
        gzip.compress(b"no", mtime=0),
        b"W",
    ],
)
def test_what_is_no_warc_file_is_one_reject(file: Path, data: bytes) -> None:
    pages, rejects = read(file, data)
    assert pages == {}
    assert [(r.url, r.reason) for r in rejects] == [("crawl.warc.gz#0", "bad_record")]


@given(st.data())
def test_any_damage_to_one_member_leaves_the_others(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    file = tmp_path_factory.getbasetemp() / "damaged.warc.gz"
    which = data.draw(st.integers(0, 5))
    member = bytearray(MEMBERS[which])
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(member)))
        end = data.draw(st.integers(start, len(member)))
        member[start:end] = data.draw(st.binary(max_size=20))
    pages, _ = read(file, b"".join([*MEMBERS[:which], bytes(member), *MEMBERS[which + 1 :]]))
    assert set(pages) >= {url for i, url in enumerate(URLS) if i != which}


@given(st.binary(max_size=400), st.booleans())
def test_no_bytes_make_it_fail(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, is_packed: bool
) -> None:
    file = tmp_path_factory.getbasetemp() / "noise.warc.gz"
    read(file, b"WARC/1.0\r\nWARC-Type: response\r\nContent-Length: 9\r\n\r\n" + noise)
    read(file, gzip.compress(noise) if is_packed else b"\x1f\x8b" + noise)
    read(file, response(URLS[0], noise, HTML | {"Content-Encoding": "br"}))
    read(file, record("response", URLS[0], b"HTTP/1.1 200 OK\r\n" + noise))


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_records_on_the_edges_of_what_is_read_at_once(
    file: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.crawl.inputs.framing._CHUNK", step)
    pages, rejects = read(file, b"".join([*MEMBERS[:2], b"garbage", *MEMBERS[2:]]))
    assert (list(pages), len(rejects)) == (URLS, 1)
    pages, rejects = read(file, b"".join([*SIX[:2], b"garbage\r\n", *SIX[2:]]))
    assert (list(pages), len(rejects)) == (URLS, 1)


def test_a_large_record_is_not_held(file: Path) -> None:
    file.write_bytes(b"".join(packed(response(URLS[0], b"x" * (8 << 20)), SIX[1])))
    large, small = frames(file, 1 << 20)
    assert not isinstance(large, Broken)
    assert not isinstance(small, Broken)
    assert large.is_cut
    assert len(large.data) < (1 << 17)
    assert not small.is_cut
