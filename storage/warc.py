"""WARC segments that survive a kill -9: append, remember the offset, cut off what was not noted.

Written with warcio, one gzip member per record, and read by offset with FastWARC. Bodies are stored
decoded; the transfer headers that no longer describe them are kept under `X-Phusa-Original-`,
as Common Crawl does under its own prefix.

Source: ISO 28500:2017 (WARC 1.1).
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastwarc.warc import ArchiveIterator, WarcRecordType
from warcio.recordbuilder import RecordBuilder
from warcio.recordloader import ArcWarcRecord
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter
from zlib_ng import zlib_ng

from storage.errors import DamagedArtifact

_TRANSFER_HEADERS = frozenset({"content-encoding", "transfer-encoding", "content-length"})
_PROFILES = "http://netpreserve.org/warc/1.1/revisit/"
_VERSION = "WARC/1.1"
_RECORDS = RecordBuilder(warc_version=_VERSION)
_NOT_PRINTABLE = re.compile(r"[^\t\x20-\x7e]")


@dataclass(frozen=True)
class Place:
    """Where a record lies in a segment: its gzip member's first byte, and how many there are."""

    offset: int
    num_bytes: int

    @property
    def end(self) -> int:
        return self.offset + self.num_bytes


class _Writer(WARCWriter):  # type: ignore[misc]  # warcio is not typed
    """warcio's, without block digests: each gzip member has its own checksum."""

    def ensure_digest(
        self, record: ArcWarcRecord, block: bool = True, payload: bool = True
    ) -> None:
        """Payloads have theirs when they come here."""


class WarcSegment:
    """One growing `.warc.gz` file."""

    def __init__(self, path: Path, committed_bytes: int, software: str) -> None:
        """Open `path`, dropping whatever lies beyond `committed_bytes` (a torn last record)."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = path.open("ab")
        self._file.truncate(committed_bytes)
        self._file.seek(committed_bytes)
        self.size = committed_bytes
        if committed_bytes == 0:
            info = {"software": software, "format": "WARC File Format 1.1"}
            self._write(_RECORDS.create_warcinfo_record(path.name, info))

    def append(
        self,
        url: str,
        fetched_at: datetime,
        status: int,
        reason: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        body_sha256: str | None = None,
    ) -> Place:
        """Append one HTTP response; its digest, where it is known, need not be computed."""
        http = _http(status, reason, _stored_headers(headers, len(body)))
        says = {"http_headers": http}
        return self._append_body("response", url, fetched_at, body, body_sha256, says)

    def append_resource(
        self,
        url: str,
        fetched_at: datetime,
        content_type: str,
        body: bytes,
        body_sha256: str | None = None,
    ) -> Place:
        """Append what came from elsewhere than HTTP: a file, a row of a table."""
        says = {"warc_content_type": content_type}
        return self._append_body("resource", url, fetched_at, body, body_sha256, says)

    def append_revisit(
        self,
        url: str,
        checked_at: datetime,
        status: int,
        reason: str,
        headers: Sequence[tuple[str, str]],
        fetched_at: datetime,
        body_sha256: str,
    ) -> Place:
        """Append a `revisit`: at `checked_at` the page was still as it was at `fetched_at`.

        Source: ISO 28500:2017 §6.7; profile `server-not-modified` for a 304, else
        `identical-payload-digest`.
        """
        profile = "server-not-modified" if status == 304 else "identical-payload-digest"
        dates = {"WARC-Date": _date(checked_at)}
        record = _RECORDS.create_revisit_record(
            url,
            f"sha256:{body_sha256}",
            url,
            _date(fetched_at),
            http_headers=_http(status, reason, _stored_headers(headers, 0)),
            warc_headers_dict=dates,
        )
        record.rec_headers.replace_header("WARC-Profile", f"{_PROFILES}{profile}")
        return self._write(record)

    def append_member(self, member: bytes) -> Place:
        """Append a record's gzip member as it stands in another segment."""
        place = Place(self.size, len(member))
        self._file.write(member)
        self._file.flush()
        self.size = place.end
        return place

    def sync(self) -> None:
        """Put everything appended on disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Put everything appended on disk, and close the file."""
        self.sync()
        self._file.close()

    def _append_body(
        self,
        kind: str,
        url: str,
        at: datetime,
        body: bytes,
        sha256: str | None,
        says: Mapping[str, Any],
    ) -> Place:
        # The digest that the tables and the `revisit` records have; warcio would take two SHA-1.
        digest = f"sha256:{sha256 or hashlib.sha256(body).hexdigest()}"
        headers = {"WARC-Date": _date(at), "WARC-Payload-Digest": digest}
        record = _RECORDS.create_warc_record(
            url,
            kind,
            payload=io.BytesIO(body),
            length=len(body),
            warc_headers_dict=headers,
            **says,
        )
        return self._write(record)

    def _write(self, record: ArcWarcRecord) -> Place:
        """warcio writes the record, zlib-ng packs it. Of 57 KB of HTML its level 5 makes 8.2 KB in
        0.35 ms; zlib's level 6 8.5 KB in 0.74 ms, and level 9, warcio's own, takes twice that.
        """
        plain = io.BytesIO()
        _Writer(plain, gzip=False, warc_version=_VERSION).write_record(record)
        packer = zlib_ng.compressobj(5, zlib_ng.DEFLATED, zlib_ng.MAX_WBITS | 16)
        # Flushed, and so past a kill -9 of this process, before anyone is told where it lies.
        return self.append_member(packer.compress(plain.getbuffer()) + packer.flush())


def read_member(path: Path, offset: int, num_bytes: int) -> bytes:
    """A record's gzip member, packed as it is. Raises DamagedArtifact if the file is too short."""
    with path.open("rb") as file:
        file.seek(offset)
        member = file.read(num_bytes)
    if len(member) != num_bytes:
        raise _no_record(path, offset)
    return member


def _date(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _http(status: int, reason: str, headers: list[tuple[str, str]]) -> StatusAndHeaders:
    return StatusAndHeaders(f"{status} {_ascii(reason)}".strip(), headers, protocol="HTTP/1.1")


def _stored_headers(headers: Sequence[tuple[str, str]], length: int) -> list[tuple[str, str]]:
    kept = [
        (f"X-Phusa-Original-{name}" if name.lower() in _TRANSFER_HEADERS else name, _ascii(value))
        for name, value in headers
    ]
    return [*kept, ("Content-Length", str(length))]


def _ascii(value: str) -> str:
    """Latin-1 to percent escapes; warcio's own escaping leaves some and fails on them."""
    return _NOT_PRINTABLE.sub(lambda char: f"%{ord(char[0]):02X}", value)


def read_body(path: Path, offset: int) -> bytes:
    """The body of the response or resource that starts at `offset`.

    Raises DamagedArtifact if no whole record of that kind can be read there.
    """
    cause = None
    try:
        body = _body_at(path, offset)
    except OSError as error:  # FastWARC's own errors carry no errno
        if error.errno not in (None, errno.ENOENT):
            raise
        body, cause = None, error
    if body is not None:
        return body
    raise _no_record(path, offset) from cause


def read_headers(path: Path, offset: int) -> list[tuple[str, str]]:
    """The HTTP headers of the response that starts at `offset`, as they were stored."""
    with path.open("rb") as stream:
        stream.seek(offset)
        record = next(iter(ArchiveIterator(stream, parse_http=True)), None)
        if record is None or record.http_headers is None:
            raise _no_record(path, offset)
        return [(str(name), str(value)) for name, value in record.http_headers]


def _no_record(path: Path, offset: int) -> DamagedArtifact:
    return DamagedArtifact(
        f"{path} holds no response record at byte {offset}; expected the one that the fetch table "
        "names. The file was altered: build that crawl again with --force crawl."
    )


def _body_at(path: Path, offset: int) -> bytes | None:
    """The body, or None if the record there is missing, of another kind, or not whole."""
    with path.open("rb") as stream:
        stream.seek(offset)
        record = next(iter(ArchiveIterator(stream, parse_http=True)), None)
        if record is None:
            return None
        if record.record_type == WarcRecordType.resource:
            length = record.headers.get("Content-Length")
        elif record.record_type == WarcRecordType.response and record.http_headers is not None:
            length = record.http_headers.get("Content-Length")
        else:
            return None
        body = bytes(record.reader.read())
        return body if length == str(len(body)) else None
