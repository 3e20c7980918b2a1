"""A body as it was sent over HTTP to a body as it is stored: without chunks and encodings.

FastWARC's own decoding was tried: it takes a chunk's extension for damage, gives the part that it
has of torn gzip as if it were whole, and knows no raw deflate.
"""

from __future__ import annotations

import re

from tasks.crawl.live.body import BodyError, BodyReader

_CHUNK_HEAD = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r?\n")
_LINE_END = re.compile(rb"\r?\n?")
_BEGINNINGS = {"gzip": b"\x1f\x8b", "x-gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}
_NO_ENCODINGS = frozenset({"", "none", "utf-8"})  # the last is a mistake that servers make


def decoded(body: bytes, transfer: str, content: str, limit: int) -> bytes:
    """The body without its transfer and content encodings.

    Writers of WARC files often store what they have decoded and leave the headers: a body that
    does not begin as the header says is taken as it is. Raises BodyError for one that breaks off,
    or has over `limit` bytes.
    """
    if "chunked" in transfer.lower():
        body = _joined(body)
    names = [name.strip().lower() for name in content.split(",")]
    for name in reversed(names):
        if name not in _NO_ENCODINGS and body.startswith(_BEGINNINGS.get(name, b"")):
            reader = BodyReader(name, limit)
            reader.feed(body)
            body = reader.finish()
    return body


def _joined(body: bytes) -> bytes:
    joined = bytearray()
    at = 0
    while head := _CHUNK_HEAD.match(body, at):
        size = int(head[1], 16)
        if size == 0:
            return bytes(joined)
        data = body[head.end() : head.end() + size]
        if len(data) < size:
            break
        joined += data
        at = _end_of_line(body, head.end() + size)
    if not joined:
        return body
    raise BodyError("truncated", "chunks that break off", "a whole body")


def _end_of_line(body: bytes, at: int) -> int:
    found = _LINE_END.match(body, at)
    return found.end() if found else at
