"""WARC segments that survive a kill -9: append, remember the offset, cut off what was not noted.

Written with warcio, one gzip member per record, and read by offset with FastWARC. Bodies are stored
decoded; the transfer headers that no longer describe them are kept under `X-Phusa-Original-`,
as Common Crawl does under its own prefix.

Source: ISO 28500:2017 (WARC 1.1).
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from fastwarc.warc import ArchiveIterator, WarcRecordType
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from storage.errors import DamagedArtifact

_TRANSFER_HEADERS = frozenset({"content-encoding", "transfer-encoding", "content-length"})


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
        (f"X-Phusa-Original-{name}" if name.lower() in _TRANSFER_HEADERS else name, value)
        for name, value in headers
    ]
    return [*kept, ("Content-Length", str(length))]


def read_body(path: Path, offset: int) -> bytes:
    """The body of the response record that starts at `offset`.

    Raises DamagedArtifact if no response record can be read there.
    """
    with path.open("rb") as stream:
        stream.seek(offset)
        records = ArchiveIterator(stream, record_types=WarcRecordType.response, parse_http=True)
        for record in records:
            return bytes(record.reader.read())
    raise DamagedArtifact(
        f"{path} holds no response record at byte {offset}; expected the one that the fetch table "
        "names. The file was altered: build that crawl again with --force crawl."
    )
