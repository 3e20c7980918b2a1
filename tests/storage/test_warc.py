from __future__ import annotations

import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastwarc.warc import ArchiveIterator as FastArchiveIterator
from fastwarc.warc import WarcRecordType
from hypothesis import given, settings
from hypothesis import strategies as st
from warcio.archiveiterator import ArchiveIterator

from storage.errors import DamagedArtifact
from storage.warc import WarcSegment, read_body

NOW = datetime(2026, 11, 21, 2, 15, 30, tzinfo=UTC)
NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,15}", fullmatch=True)
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"))


def _append(segment: WarcSegment, number: int, body: bytes) -> int:
    headers = [("Content-Type", "text/html"), ("Content-Encoding", "gzip")]
    return segment.append(f"http://localhost/{number}", NOW, 200, "OK", headers, body).offset


def _filled(path: Path, bodies: list[bytes]) -> tuple[list[int], int]:
    """A segment with these bodies; the offsets and where the last record ends."""
    segment = WarcSegment(path, 0, "phusa/test")
    offsets = [_append(segment, number, body) for number, body in enumerate(bodies)]
    end = segment.size
    segment.close()
    return offsets, end


@settings(max_examples=30)
@given(st.lists(st.binary(max_size=5_000), max_size=6), st.lists(st.tuples(NAMES, VALUES)))
def test_bodies_come_back_and_both_libraries_read_them(
    tmp_path_factory: pytest.TempPathFactory, bodies: list[bytes], headers: list[tuple[str, str]]
) -> None:
    path = tmp_path_factory.mktemp("warc") / "a.warc.gz"
    segment = WarcSegment(path, 0, "phusa/test")
    offsets = [
        segment.append(f"http://h/{i}", NOW, 200, "OK", headers, body).offset
        for i, body in enumerate(bodies)
    ]
    segment.close()
    assert [read_body(path, offset) for offset in offsets] == bodies

    with path.open("rb") as stream:
        read = []
        for record in ArchiveIterator(stream, check_digests="raise"):
            content = record.content_stream().read()
            if record.rec_type == "response":
                assert record.digest_checker.passed
                assert record.rec_headers.get_header("WARC-Target-URI") == f"http://h/{len(read)}"
                assert record.rec_headers.get_header("WARC-Date") == "2026-11-21T02:15:30Z"
                read.append(content)
    assert read == bodies

    with path.open("rb") as stream:
        kinds = []
        for record in FastArchiveIterator(stream):
            assert record.record_type != WarcRecordType.response or record.verify_payload_digest()
            kinds.append(record.headers["WARC-Type"])
    assert kinds == ["warcinfo"] + ["response"] * len(bodies)


def test_nothing_that_a_server_says_becomes_a_header_of_its_own(tmp_path: Path) -> None:
    path, trick = tmp_path / "a.warc.gz", "\r\nWARC-Type: metadata\r\n\r\n"
    segment = WarcSegment(path, 0, f"phusa{trick}")
    segment.append(f"http://h/{trick}", NOW, 200, trick, [(f"X{trick}", trick), ("É\0", "é")], b"1")
    segment.append_resource("http://h/2", NOW, f"text/html{trick}", b"2")
    segment.close()
    kinds, bodies = [], []
    with path.open("rb") as stream:
        for record in ArchiveIterator(stream, check_digests="raise"):
            kinds.append(record.rec_type)
            bodies.append(record.content_stream().read())
            if record.rec_type == "response":
                names = [name for name, _ in record.http_headers.headers]
                assert names == [
                    "X%0D%0AWARC-Type: metadata%0D%0A%0D%0A".partition(":")[0],
                    "%C9%00",
                    "Content-Length",
                ]
    assert kinds == ["warcinfo", "response", "resource"] and bodies[1:] == [b"1", b"2"]


def test_transfer_headers_are_kept_aside(tmp_path: Path) -> None:
    path = tmp_path / "a.warc.gz"
    segment = WarcSegment(path, 0, "phusa/test")
    original = [("Content-Encoding", "gzip"), ("content-length", "3"), ("X-Say", "é")]
    segment.append("http://h/", NOW, 200, "OK", original, b"decoded")
    segment.close()
    with path.open("rb") as stream:
        headers = next(r.http_headers for r in ArchiveIterator(stream) if r.rec_type == "response")
    assert headers.get_header("Content-Length") == "7"
    assert headers.get_header("Content-Encoding") is None
    assert headers.get_header("X-Phusa-Original-Content-Encoding") == "gzip"
    assert headers.get_header("X-Phusa-Original-content-length") == "3"


@pytest.mark.parametrize("torn", [1, 20, 300])
def test_a_torn_last_record_is_cut_off(tmp_path: Path, torn: int) -> None:
    path = tmp_path / "a.warc.gz"
    (first,), end = _filled(path, [b"first" * 100])
    whole = path.read_bytes()
    segment = WarcSegment(path, end, "phusa/test")
    _append(segment, 1, os.urandom(1000))
    segment.close()
    os.truncate(path, end + torn)

    segment = WarcSegment(path, end, "phusa/test")
    assert segment.size == end
    offset = _append(segment, 1, b"second")
    segment.close()
    assert offset == end
    assert path.read_bytes().startswith(whole)
    assert read_body(path, first) == b"first" * 100
    assert read_body(path, offset) == b"second"
    with path.open("rb") as stream:
        assert [r.rec_type for r in ArchiveIterator(stream)] == ["warcinfo", "response", "response"]


def test_nothing_committed_starts_the_file_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.warc.gz"
    path.write_bytes(b"\x1f\x8btorn")
    (offset,), _ = _filled(path, [b"body"])
    assert read_body(path, offset) == b"body"


def test_what_was_appended_is_past_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "a.warc.gz"
    segment = WarcSegment(path, 0, "phusa/test")
    offset = _append(segment, 0, b"body" * 1000)
    assert path.stat().st_size == segment.size  # in the file, not in a buffer of ours
    assert read_body(path, offset) == b"body" * 1000
    segment.close()


def test_a_wrong_offset_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.warc.gz"
    (first, second), end = _filled(path, [b"first" * 50, os.urandom(2000)])
    wrong = [0, 1, first - 1, first + 1, second - 1, second + 7, end - 1, end, end + 100]
    for offset in wrong:
        with pytest.raises(DamagedArtifact, match=rf"byte {offset};.*--force crawl"):
            read_body(path, offset)


@settings(max_examples=100)
@given(st.data())
def test_altered_bytes_are_damage_and_never_another_body(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("warc") / "a.warc.gz"
    body = bytes(range(256)) * 8
    (offset,), end = _filled(path, [body])
    if data.draw(st.booleans(), "cut"):
        share = data.draw(st.floats(0, 1), "of the record")
        os.truncate(path, offset + int(share * (end - 9 - offset)))
    else:  # record ids are random, so the length of a record is too
        altered = bytearray(path.read_bytes())
        share = data.draw(st.floats(0, 1, exclude_max=True), "of the record")
        altered[offset + int(share * (end - offset))] ^= data.draw(st.integers(1, 255))
        path.write_bytes(altered)
    with suppress(DamagedArtifact):
        assert read_body(path, offset) == body


def test_no_altered_byte_of_a_record_passes(tmp_path: Path) -> None:
    """Each in turn: a reader that stops where the body ends never sees the member's checksum."""
    path = tmp_path / "a.warc.gz"
    body = bytes(range(256)) * 8
    (offset,), end = _filled(path, [body])
    whole = path.read_bytes()
    for at in range(offset, end):
        for bits in (1, 94):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ bits]) + whole[at + 1 :])
            with suppress(DamagedArtifact):
                assert read_body(path, offset) == body, at


def test_a_missing_file_is_damage(tmp_path: Path) -> None:
    with pytest.raises(DamagedArtifact):
        read_body(tmp_path / "gone.warc.gz", 0)
