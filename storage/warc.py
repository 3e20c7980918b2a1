"""WARC segments that survive a kill -9: append, remember the offset, cut off what was not noted.

One gzip member per record, read by offset with FastWARC. Bodies are stored decoded; the transfer
headers that no longer describe them are kept under `X-Phusa-Original-`, as Common Crawl does under
its own prefix. Of digests there is the body's sha256 alone, which tables and `revisit` records
have, too. Whoever reads a body is shown that it is this one: a gzip member has a checksum of its
own, but it stands behind the body, where a reader that asks for the body alone never comes.

Records are put together here. warcio took 0.13 ms for each, a tenth of what the whole crawl spends
on a page, two SHA-1 among it; now it and FastWARC check in tests what is written.

Source: ISO 28500:2017 (WARC 1.1).
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from fastwarc.warc import ArchiveIterator, WarcRecordType
from zlib_ng import zlib_ng

from storage.errors import DamagedArtifact

_TRANSFER_HEADERS = frozenset({"content-encoding", "transfer-encoding", "content-length"})
_PROFILES = "http://netpreserve.org/warc/1.1/revisit/"
_NOT_PRINTABLE = re.compile(r"[^\t\x20-\x7e]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_RESPONSE = "application/http; msgtype=response"

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Place:
    """Where a record lies in a segment: its gzip member's first byte, and how many there are."""

    offset: int
    num_bytes: int

    @property
    def end(self) -> int:
        return self.offset + self.num_bytes


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
            info = f"software: {_printable(software)}\r\nformat: WARC File Format 1.1\r\n".encode()
            named = [("WARC-Filename", path.name)]
            self._append("warcinfo", datetime.now(UTC), "application/warc-fields", [info], named)

    def append(
        self,
        url: str,
        fetched_at: datetime,
        status: int,
        reason: str,
        headers: Headers,
        body: bytes,
        body_sha256: str | None = None,
    ) -> Place:
        """Append one HTTP response; its digest, where it is known, need not be computed."""
        named = [("WARC-Target-URI", url), _digest(body, body_sha256)]
        block = [_http(status, reason, headers, len(body)), body]
        return self._append("response", fetched_at, _RESPONSE, block, named)

    def append_resource(
        self,
        url: str,
        fetched_at: datetime,
        content_type: str,
        body: bytes,
        body_sha256: str | None = None,
    ) -> Place:
        """Append what came from elsewhere than HTTP: a file, a row of a table."""
        named = [("WARC-Target-URI", url), _digest(body, body_sha256)]
        return self._append("resource", fetched_at, content_type, [body], named)

    def append_revisit(
        self,
        url: str,
        checked_at: datetime,
        status: int,
        reason: str,
        headers: Headers,
        fetched_at: datetime,
        body_sha256: str,
    ) -> Place:
        """Append a `revisit`: at `checked_at` the page was still as it was at `fetched_at`.

        Source: ISO 28500:2017 §6.7; profile `server-not-modified` for a 304, else
        `identical-payload-digest`.
        """
        profile = "server-not-modified" if status == 304 else "identical-payload-digest"
        named = [
            ("WARC-Target-URI", url),
            _digest(b"", body_sha256),
            ("WARC-Profile", f"{_PROFILES}{profile}"),
            ("WARC-Refers-To-Target-URI", url),
            ("WARC-Refers-To-Date", _date(fetched_at)),
        ]
        block = [_http(status, reason, headers, 0)]
        return self._append("revisit", checked_at, _RESPONSE, block, named)

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

    def _append(
        self, kind: str, at: datetime, content_type: str, block: Sequence[bytes], named: Headers
    ) -> Place:
        """zlib-ng packs: of 57 KB of HTML its level 5 makes 8.2 KB in 0.35 ms; zlib's level 6
        8.5 KB in 0.74 ms, and level 9 takes twice that.
        """
        lines = [
            ("WARC-Type", kind),
            ("WARC-Record-ID", f"<urn:uuid:{uuid4()}>"),
            ("WARC-Date", _date(at)),
            *named,
            ("Content-Type", _printable(content_type)),
            ("Content-Length", str(sum(map(len, block)))),
        ]
        head = "".join(f"{name}: {_CONTROL.sub(_escape, value)}\r\n" for name, value in lines)
        record = b"".join((b"WARC/1.1\r\n", head.encode(), b"\r\n", *block, b"\r\n\r\n"))
        packer = zlib_ng.compressobj(5, zlib_ng.DEFLATED, zlib_ng.MAX_WBITS | 16)
        # Flushed, and so past a kill -9 of this process, before anyone is told where it lies.
        return self.append_member(packer.compress(record) + packer.flush())


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


def _digest(body: bytes, sha256: str | None) -> tuple[str, str]:
    return "WARC-Payload-Digest", f"sha256:{sha256 or hashlib.sha256(body).hexdigest()}"


def _http(status: int, reason: str, headers: Headers, length: int) -> bytes:
    """Status line and headers of a body that is stored decoded."""
    lines = [f"HTTP/1.1 {status} {_printable(reason)}".rstrip()]
    for name, value in headers:
        aside = "X-Phusa-Original-" if name.lower() in _TRANSFER_HEADERS else ""
        lines.append(f"{aside}{_printable(name)}: {_printable(value)}")
    return "\r\n".join([*lines, f"Content-Length: {length}", "", ""]).encode()


def _printable(value: str) -> str:
    """What is no printable ASCII, Latin-1 of a header, as percent escapes."""
    return _NOT_PRINTABLE.sub(_escape, value)


def _escape(char: re.Match[str]) -> str:
    coding = "latin-1" if char[0] < "\u0100" else "utf-8"
    return "".join(f"%{byte:02X}" for byte in char[0].encode(coding, "surrogatepass"))


def read_body(path: Path, offset: int) -> bytes:
    """The body of the response or resource that starts at `offset`.

    Raises DamagedArtifact if no whole record of that kind can be read there.
    """
    try:
        with path.open("rb") as stream:
            record = _record_at(stream, path, offset)
            headers = record.headers if record.record_type == WarcRecordType.resource else {}
            if record.record_type == WarcRecordType.response:
                headers = record.http_headers or {}
            body = bytes(record.reader.read())
            named = record.headers.get("WARC-Payload-Digest")
            if headers.get("Content-Length") != str(len(body)) or named != _digest(body, None)[1]:
                raise _no_record(path, offset)
            return body
    except OSError as error:  # FastWARC's own errors carry no errno
        if error.errno not in (None, errno.ENOENT):
            raise
        raise _no_record(path, offset) from error


def read_headers(path: Path, offset: int) -> list[tuple[str, str]]:
    """The HTTP headers of the response that starts at `offset`, as they were stored."""
    with path.open("rb") as stream:
        headers = _record_at(stream, path, offset).http_headers
        if headers is None:
            raise _no_record(path, offset)
        return [(str(name), str(value)) for name, value in headers]


def _record_at(stream: BinaryIO, path: Path, offset: int) -> Any:
    stream.seek(offset)
    record = next(iter(ArchiveIterator(stream, parse_http=True)), None)
    if record is None:
        raise _no_record(path, offset)
    return record


def _no_record(path: Path, offset: int) -> DamagedArtifact:
    return DamagedArtifact(
        f"{path} holds no response record at byte {offset}; expected the one that the fetch table "
        "names. The file was altered: build that crawl again with --force crawl."
    )
