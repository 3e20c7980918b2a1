"""Where bytes last. A new place is one module here, one member of `Backend`'s implementations.

The protocol is small on purpose: what a store needs is create-only writes (the commit), a
compare-and-swap (the references), and whole-file reads; nothing is ever renamed, so that an
object store can offer the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from storage.backends.local import LocalBackend

__all__ = ["Backend", "LocalBackend"]


class Backend(Protocol):
    """Keys are `/`-separated relative paths."""

    def create(self, key: str, data: bytes) -> bool:
        """Write `data` at `key` if nothing is there; False if something is."""

    def swap(self, key: str, data: bytes, expected: bytes | None) -> bool:
        """Replace `expected` (None: nothing there) by `data` atomically; False if it differs."""

    def read(self, key: str) -> bytes | None:
        """The bytes at `key`, or None."""

    def size(self, key: str) -> int | None:
        """The size at `key` in bytes, or None."""

    def children(self, prefix: str) -> Iterator[str]:
        """The names directly under `prefix`, sorted."""

    def put_file(self, key: str, source: Path) -> None:
        """Store a finished local file at `key`, which is unique to this attempt."""

    def local_path(self, key: str) -> Path:
        """A local path that holds the bytes at `key`."""

    def delete(self, prefix: str) -> None:
        """Remove the file at `prefix` or everything under it."""
