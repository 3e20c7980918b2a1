"""WARC records by hand: what other writers write, and what damage does to it."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path

from tasks.crawl.captures import Capture, RejectedUrl
from tasks.crawl.inputs.warc import read_warc

DATE = "2026-01-02T03:04:05Z"
HTML = {"Content-Type": "text/html; charset=utf-8"}
LIMIT = 100_000


def record(kind: str, url: str, block: bytes, length: object = None, **headers: str) -> bytes:
    """One record; `length` is what its Content-Length says, if that is a lie."""
    lines = {
        "WARC-Type": kind,
        "WARC-Target-URI": url,
        "WARC-Date": DATE,
        "WARC-Record-ID": "<urn:uuid:00000000-0000-4000-8000-000000000000>",
        **{name.replace("_", "-"): value for name, value in headers.items()},
        "Content-Length": str(len(block) if length is None else length),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"WARC/1.0\r\n{head}\r\n".encode() + block + b"\r\n\r\n"


def response(
    url: str,
    body: bytes = b"<p>page</p>",
    headers: Mapping[str, str] = HTML,
    status: str = "200 OK",
    length: object = None,
) -> bytes:
    """One HTTP response."""
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    block = f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body
    return record("response", url, block, length, Content_Type="application/http")


def wet(url: str, text: str) -> bytes:
    """One text of a WET file."""
    return record("conversion", url, text.encode(), Content_Type="text/plain")


def chunked(body: bytes, size: int = 7, extension: bytes = b"") -> bytes:
    """A body in HTTP's chunks."""
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    chunks = (b"%x%s\r\n%s\r\n" % (len(piece), extension, piece) for piece in pieces)
    return b"".join(chunks) + b"0\r\n\r\n"


def packed(*records: bytes) -> list[bytes]:
    """A gzip member of each."""
    return [gzip.compress(one, mtime=0) for one in records]


def read(
    path: Path, data: bytes, limit: int = LIMIT
) -> tuple[dict[str, Capture], list[RejectedUrl]]:
    """The pages of a file with these bytes, by URL, and its rejects."""
    path.write_bytes(data)
    found = [what for _, what in read_warc(path.name, path, limit)]
    pages = {what.url: what for what in found if isinstance(what, Capture)}
    return pages, [what for what in found if isinstance(what, RejectedUrl)]
