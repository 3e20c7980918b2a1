"""Records of a WARC file that may be broken: what is whole is given, what is not is named.

FastWARC 2.0 was tried for this: it ends for good at the first damaged gzip member, reads a body
whose Content-Length is too large over the records that follow, and ends without a word after a
body that it cannot decode. So records are told apart here, and FastWARC parses each by itself.

Source: ISO 28500:2017 §4 and annex D (one gzip member for each record).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_CHUNK = 1 << 18
_BUFFER_BYTES = 1 << 18
_HEAD_BYTES = 1 << 16
_LENGTH = re.compile(rb"^content-length:[ \t]*(\d{1,18})[ \t]*\r?$", re.I | re.M)
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_NEXT = re.compile(rb"\nWARC/\d")
_MAGIC = b"\x1f\x8b\x08"

Source = Callable[[int], Iterator[bytes]]
"""The bytes from a position on, in pieces."""


@dataclass(frozen=True)
class Frame:
    """A whole record: its bytes, or the first of them if it `is_cut` for being too large."""

    place: str
    data: bytes
    is_cut: bool = False


@dataclass(frozen=True)
class Broken:
    """A place in the file where a record should begin and no whole one does."""

    place: str
    why: str


class _Bad(Exception):
    """No whole record lies here."""


def frames(path: Path, keep_bytes: int) -> Iterator[Frame | Broken]:
    """Yield the records of a WARC file, gzip or plain, in their order.

    A record's place is the offset of its gzip member, `+` its position within it if it is not the
    first there; in a plain file its offset. Of a block over `keep_bytes`, 64 KiB are kept.
    """
    with path.open("rb", buffering=_BUFFER_BYTES) as file:
        begins = file.read(5)
        # By its first bytes, unless they are damaged.
        is_known = begins.startswith(_MAGIC[:2]) or begins == b"WARC/"
        if begins != b"WARC/" if is_known else path.suffix == ".gz":
            yield from _packed(file, path.stat().st_size, keep_bytes)
        else:
            yield from _records(lambda start: _plain(file, start), keep_bytes, str)


def _plain(file: BinaryIO, start: int) -> Iterator[bytes]:
    file.seek(start)
    while chunk := file.read(_CHUNK):
        yield chunk


def _packed(file: BinaryIO, size: int, keep_bytes: int) -> Iterator[Frame | Broken]:
    offset = 0
    while offset < size:
        member = _Member(file, offset)
        try:
            yield from _records(member.chunks, keep_bytes, member.place)
            offset = member.end
        except zlib.error as error:
            yield Broken(str(offset), str(error))
            offset = _next_member(file, offset + 1)


class _Member:
    """One gzip member."""

    def __init__(self, file: BinaryIO, offset: int) -> None:
        self._file, self._offset = file, offset
        self.end = offset

    def place(self, position: int) -> str:
        return f"{self._offset}+{position}" if position else str(self._offset)

    def chunks(self, start: int) -> Iterator[bytes]:
        """Unpack it. Raises zlib.error where it is damaged, or the file ends before it does."""
        self._file.seek(self._offset)
        unpack = zlib.decompressobj(zlib.MAX_WBITS | 16)
        packed = b""
        while not unpack.eof:
            packed = unpack.unconsumed_tail or self._file.read(1 << 14)
            if not packed:
                raise zlib.error("the file ends within a gzip member")
            chunk = unpack.decompress(packed, _CHUNK)
            if len(chunk) > start:
                yield chunk[start:]
            start = max(0, start - len(chunk))
        self.end = self._file.tell() - len(unpack.unused_data)


def _next_member(file: BinaryIO, start: int) -> int:
    """Find where the next gzip member begins that holds a WARC record, or the end of the file."""
    file.seek(start)
    held = b""
    while chunk := file.read(_CHUNK):
        held += chunk
        at = held.find(_MAGIC)
        while at >= 0:
            if _begins_record(file, start + at):
                return start + at
            at = held.find(_MAGIC, at + 1)
        start += max(0, len(held) - 2)
        held = held[-2:]
        file.seek(start + len(held))
    return file.tell()


def _begins_record(file: BinaryIO, offset: int) -> bool:
    file.seek(offset)
    try:
        first = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(file.read(1 << 12), 5)
    except zlib.error:
        return False
    return first == b"WARC/"


class _Window:
    """Bytes from a position on, of which only those that were asked for are held."""

    def __init__(self, source: Source, position: int) -> None:
        self._chunks = source(position)
        self.held = bytearray()
        self.position = position

    def need(self, count: int) -> bool:
        """Hold at least `count` bytes, or all there are and say no."""
        while len(self.held) < count:
            chunk = next(self._chunks, None)
            if chunk is None:
                return False
            self.held += chunk
        return True

    def take(self, count: int) -> bytes:
        taken = bytes(self.held[:count])
        del self.held[:count]
        self.position += count
        return taken

    def skip(self, count: int) -> bool:
        """Pass over `count` bytes; False if there are not as many."""
        while count and self.need(1):
            count -= len(self.take(min(count, len(self.held))))
        return count == 0

    def skip_blank(self) -> int:
        """Pass over ends of lines; returns how many bytes they were."""
        begun = self.position
        while self.need(1) and self.held[0] in b"\r\n":
            self.take(len(self.held) - len(self.held.lstrip(b"\r\n")))
        return self.position - begun


def _records(
    source: Source, keep_bytes: int, place: Callable[[int], str]
) -> Iterator[Frame | Broken]:
    """Yield the records of a plain WARC file. Raises what reading the source raises."""
    window = _Window(source, 0)
    window.skip_blank()
    while window.need(1):
        start = window.position
        try:
            data, is_cut = _record(window, keep_bytes)
        except _Bad as bad:
            yield Broken(place(start), str(bad))
            window = _next_record(source, start + 1)
        else:
            yield Frame(place(start), data, is_cut)


def _record(window: _Window, keep_bytes: int) -> tuple[bytes, bool]:
    """Take the record at the window's position, which moves to the next; raises _Bad."""
    if not window.need(5) or not window.held.startswith(b"WARC/"):
        raise _Bad("no WARC record begins here")
    window.need(_HEAD_BYTES)
    head = _HEAD_END.search(window.held, 0, _HEAD_BYTES)
    if head is None:
        raise _Bad(f"no end of the WARC header within {_HEAD_BYTES} bytes")
    found = _LENGTH.search(window.held, 0, head.end())
    if found is None:
        raise _Bad("no Content-Length")
    length = int(found[1])
    kept = length if length <= keep_bytes else min(length, _HEAD_BYTES)
    is_whole = window.need(head.end() + kept)
    data = window.take(min(head.end() + kept, len(window.held)))
    if not is_whole or not window.skip(length - kept):
        raise _Bad(f"it ends before the {length} bytes that its Content-Length says")
    # Also where the next record cannot be read: then this one's gzip member is damaged.
    if window.skip_blank() < 4 and window.need(5) and not window.held.startswith(b"WARC/"):
        raise _Bad(f"it goes on after the {length} bytes that its Content-Length says")
    return data, kept < length


def _next_record(source: Source, start: int) -> _Window:
    """Open a window on what looks like the beginning of a record, or on the end."""
    window = _Window(source, start)
    while window.need(1):
        window.need(_HEAD_BYTES)
        found = _NEXT.search(window.held)
        if found is not None:
            window.take(found.start() + 1)
            return window
        window.take(max(1, len(window.held) - 6))
    return window
