"""A response's body, decoded while it comes and never more of it than was asked for.

HTTP clients decode each chunk whole before anyone can count: a body compressed twice turns 64 KB
into gigabytes. These decoders are asked for a bounded number of bytes instead. A body that grows
more than `MAX_RATIO` times is not decoded to its end, however small it still is.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping

import brotli
from backports import zstd

from tasks.crawl.captures import RejectedUrl

ACCEPT_ENCODING = "gzip, br, zstd"
MAX_RATIO = 1000  # a page of 300 kB that is one repeated line comes to 300
_PIECE_BYTES = 1 << 16


class BodyError(Exception):
    """A body that cannot be had, and why."""

    def __init__(self, reason: str, value: str, threshold: str) -> None:
        super().__init__(f"{reason}: {value}")
        self.reason, self.value, self.threshold = reason, value, threshold

    def reject(self, url: str, *, passing: bool = False) -> RejectedUrl:
        return RejectedUrl(url, self.reason, self.value, self.threshold, passing)


class _Plain:
    finished = True

    def feed(self, data: bytes, room: int) -> bytes:
        return data[:room]


class _ZlibStream:
    """zlib's decompressor, holding by itself what it could not decode yet."""

    def __init__(self, beginning: bytes) -> None:
        # `deflate` is raw for some servers, of which RFC 9110 warns.
        raw = beginning[:1] != b"\x1f" and (
            beginning[0] & 0x0F != 8 or int.from_bytes(beginning[:2]) % 31
        )
        self._stream = zlib.decompressobj(-zlib.MAX_WBITS if raw else zlib.MAX_WBITS | 32)

        self.needs_input, self.eof, self.unused_data = True, False, b""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        stream = self._stream
        decoded = stream.decompress(stream.unconsumed_tail + data, max_length)
        self.needs_input = not stream.unconsumed_tail
        self.eof, self.unused_data = stream.eof, stream.unused_data
        return decoded


def _zstd_stream(_: bytes) -> zstd.ZstdDecompressor:
    # A frame may ask for gigabytes of window; RFC 9659 allows 8 MiB in HTTP.
    options: Mapping[int, int] = {zstd.DecompressionParameter.window_log_max: 23}
    return zstd.ZstdDecompressor(options=options)


_Stream = _ZlibStream | zstd.ZstdDecompressor
"""One member of a body."""


class _Members:
    """A series of members, each a stream: gzip (RFC 1952 §2.2) and zstd (RFC 8878 §3) allow it.

    What follows a member and is no other is ignored.
    """

    def __init__(self, open_stream: Callable[[bytes], _Stream], magic: re.Pattern[bytes]) -> None:
        self._open, self._magic = open_stream, magic
        self._stream: _Stream | None = None
        self.finished = False

    def feed(self, data: bytes, room: int) -> bytes:
        out = bytearray()
        while not self.finished and len(out) < room:
            if self._stream is None:
                if not data:
                    break
                self._stream = self._open(data)
            out += self._stream.decompress(data, room - len(out))
            data = b""
            if self._stream.eof:
                data = self._stream.unused_data
                if data and self._magic.match(data):
                    self._stream = None
                else:
                    self.finished = True
            elif self._stream.needs_input:
                break
        return bytes(out)


_GZIP_MEMBER = re.compile(rb"\x1f\x8b")
_ZSTD_FRAME = re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")


class _Brotli:
    def __init__(self) -> None:
        self._stream = brotli.Decompressor()

    def feed(self, data: bytes, room: int) -> bytes:
        out = bytearray(self._stream.process(data, output_buffer_limit=min(room, _PIECE_BYTES)))
        while len(out) < room and not self._stream.can_accept_more_data():
            out += self._stream.process(b"", output_buffer_limit=_PIECE_BYTES)
        return bytes(out)

    @property
    def finished(self) -> bool:
        return bool(self._stream.is_finished())


_Decoder = _Plain | _Members | _Brotli
"""Decodes what it is fed, and all that it still holds, up to some 64 KiB over a given room."""


def _decoder(encoding: str) -> _Decoder:
    match encoding.strip().lower():
        case "" | "identity":
            return _Plain()
        case "gzip" | "x-gzip" | "deflate":
            return _Members(_ZlibStream, _GZIP_MEMBER)
        case "br":
            return _Brotli()
        case "zstd":
            return _Members(_zstd_stream, _ZSTD_FRAME)
    raise BodyError("undecodable", f"Content-Encoding {encoding}", ACCEPT_ENCODING)


class BodyReader:
    """Takes the pieces of one body as they come."""

    def __init__(self, encoding: str, limit: int) -> None:
        """Raises BodyError for an encoding that was not asked for."""
        self._decoder = _decoder(encoding)
        self._encoding, self._limit = encoding, limit
        self._body = bytearray()
        self.wire_bytes = 0

    def feed(self, data: bytes) -> None:
        """Take a piece. Raises BodyError if it cannot be decoded, or the body grows too large."""
        if not data:
            return
        self.wire_bytes += len(data)
        try:
            self._body += self._decoder.feed(data, self._limit + 1 - len(self._body))
        except (zlib.error, brotli.error, zstd.ZstdError) as error:
            raise BodyError("undecodable", f"{self._encoding}: {error}", "as announced") from error
        # No coding makes a body larger than it is: more was sent than it may ever come to.
        if len(self._body) > self._limit or self.wire_bytes > self._limit + _PIECE_BYTES:
            raise BodyError("too_large", f"over {self._limit} bytes", str(self._limit))
        if len(self._body) > max(self.wire_bytes * MAX_RATIO, _PIECE_BYTES):
            grown = f"{len(self._body)} bytes from {self.wire_bytes}"
            raise BodyError("too_large", grown, f"{MAX_RATIO} times what was sent")

    def beginning(self) -> bytes:
        """Return the first `limit` bytes."""
        return bytes(self._body[: self._limit])

    def finish(self) -> bytes:
        """Return the whole body. Raises BodyError if its coding was cut off."""
        if self.wire_bytes and not self._decoder.finished:
            raise BodyError("truncated", f"{self._encoding}: cut off", "the whole body")
        return bytes(self._body)
