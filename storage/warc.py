"""WARC segments that survive a kill -9: append, remember the offset, cut off what was not noted.

Written with warcio, one gzip member per record, and read by offset with FastWARC. Bodies are stored
decoded; the transfer headers that no longer describe them are kept under `X-Phusa-Original-`,
as Common Crawl does under its own prefix.

Source: ISO 28500:2017 (WARC 1.1).
"""

from __future__ import annotations

import errno
import io
import os
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from fastwarc.warc import ArchiveIterator, WarcRecordType
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from storage.errors import DamagedArtifact

_TRANSFER_HEADERS = frozenset({"content-encoding", "transfer-encoding", "content-length"})
_NOT_PRINTABLE = re.compile(r"[^\t\x20-\x7e]")


class WarcSegment:
    """One growing `.warc.gz` file."""

    def __init__(self, path: Path, committed_bytes: int, software: str) -> None:
        """Open `path`, dropping whatever lies beyond `committed_bytes` (a torn last record)."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = path.open("ab")
        self._file.truncate(committed_bytes)
        self._file.seek(committed_bytes)
        if committed_bytes == 0:
            writer = self._writer()
            info = {"software": software, "format": "WARC File Format 1.1"}
            writer.write_record(writer.create_warcinfo_record(path.name, info))

    @property
    def size(self) -> int:
        return self._file.tell()

    def append(
        self,
        url: str,
        fetched_at: datetime,
        status: int,
        reason: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
    ) -> int:
        """Append one response and return its byte offset."""
        offset = self._file.tell()
        writer = self._writer()
        http = StatusAndHeaders(
            f"{status} {reason}", _stored_headers(headers, len(body)), protocol="HTTP/1.1"
        )
        record = writer.create_warc_record(
            url,
            "response",
            payload=io.BytesIO(body),
            length=len(body),
            http_headers=http,
            warc_headers_dict={"WARC-Date": f"{fetched_at:%Y-%m-%dT%H:%M:%SZ}"},
        )
        writer.write_record(record)
        self._file.flush()  # past a kill -9 of this process from here on
        return offset

    def close(self) -> None:
        """Put everything appended on disk."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def _writer(self) -> WARCWriter:
        return WARCWriter(self._file, gzip=True, warc_version="WARC/1.1")


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
    """The body of the response record that starts at `offset`.

    Raises DamagedArtifact if no whole response record can be read there.
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
    raise DamagedArtifact(
        f"{path} holds no response record at byte {offset}; expected the one that the fetch table "
        "names. The file was altered: build that crawl again with --force crawl."
    ) from cause


def _body_at(path: Path, offset: int) -> bytes | None:
    """The body, or None if the record there is missing, no response, or not whole."""
    with path.open("rb") as stream:
        stream.seek(offset)
        record = next(iter(ArchiveIterator(stream, parse_http=True)), None)
        if record is None or record.record_type != WarcRecordType.response:
            return None
        if record.http_headers is None:
            return None
        body = bytes(record.reader.read())
        return body if record.http_headers.get("Content-Length") == str(len(body)) else None
