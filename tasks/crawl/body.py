"""A response's body, decoded and never more of it than was asked for.

httpx decodes each chunk whole before anyone can count: a body compressed twice turns 64 KB into
gigabytes. zlib is asked for a bounded number of bytes instead.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import httpx

ACCEPT_ENCODING = "gzip"


async def read_at_most(response: httpx.Response, limit: int) -> bytes:
    """The first `limit` bytes of the decoded body.

    Raises httpx.DecodingError if it is not what its Content-Encoding says, or one not asked for.
    """
    decode = _decoder(response.headers.get("content-encoding", ""))
    body = bytearray()
    async for chunk in response.aiter_raw():
        try:
            body += decode(chunk, limit - len(body))
        except zlib.error as error:
            raise httpx.DecodingError(str(error)) from error
        if len(body) >= limit:
            break
    return bytes(body)


def _decoder(encoding: str) -> Callable[[bytes, int], bytes]:
    match encoding.strip().lower():
        case "" | "identity":
            return lambda chunk, room: chunk[:room]
        case "gzip" | "x-gzip" | "deflate":
            return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress
    raise httpx.DecodingError(f"Content-Encoding {encoding}")
