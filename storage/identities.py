"""Ids of pages and documents: xxh3-128 of content, written as 32 hexadecimal digits.

The same page or text has the same id in every run, on every machine.

Source: xxHash, https://xxhash.com (`xxhash.xxh3_128` over bytes, never over `str`).
"""

from __future__ import annotations

from pathlib import Path

import xxhash

_SEPARATOR = b"\x00"


def page_id(url: str, body_digest: str) -> str:
    """The id of a page: an unchanged page keeps it when fetched again."""
    return _identify(url, body_digest)


def document_id(url: str, text: str) -> str:
    """The id of a document: the same text at the same URL keeps it."""
    return _identify(url, text)


def file_digest(path: Path) -> str:
    """xxh3-128 of a file's content, in hex. Raises OSError if it cannot be read."""
    digest = xxhash.xxh3_128()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _identify(*parts: str) -> str:
    return xxhash.xxh3_128_hexdigest(_SEPARATOR.join(part.encode() for part in parts))
