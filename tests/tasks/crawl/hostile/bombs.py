"""100 MB of zeros in a few kilobytes, made a megabyte at a time."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import brotli
from backports import zstd

_PIECE, _PIECES = bytes(1_000_000), 100


def _packed(feed: Callable[[bytes], bytes], finish: Callable[[], bytes]) -> bytes:
    return b"".join([*(feed(_PIECE) for _ in range(_PIECES)), finish()])


def gzip_bomb() -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    return _packed(packer.compress, packer.flush)


def brotli_bomb() -> bytes:
    packer = brotli.Compressor(quality=5)
    return _packed(packer.process, packer.finish)


def zstd_bomb() -> bytes:
    packer = zstd.ZstdCompressor()
    return _packed(packer.compress, packer.flush)


def wide_zstd_bomb() -> bytes:
    """One that asks its reader for a window of 2 GB."""
    options = {zstd.CompressionParameter.window_log: 31}
    packer = zstd.ZstdCompressor(options=options)
    return _packed(packer.compress, packer.flush)


def twice(bomb: bytes) -> bytes:
    """Packed once more, by gzip."""
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    return packer.compress(bomb) + packer.flush()


BOMBS = {
    "gzip": gzip_bomb,
    "br": brotli_bomb,
    "zstd": zstd_bomb,
    "zstd, wide": wide_zstd_bomb,
    "gzip, gzip": lambda: twice(gzip_bomb()),
}
