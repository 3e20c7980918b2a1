"""Where bytes last. A new place is one module here and one line in `open_backend`.

The protocol is small on purpose: what a store needs is create-only writes (the commit), a
compare-and-swap (the references), listings and whole files; nothing is ever renamed, so that an
object store offers the same as a disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from storage.backends.local import LocalBackend
from storage.backends.memory import MemoryBackend
from storage.errors import Fault, PathUnusable, RequestError, os_errors_named

__all__ = ["Backend", "LocalBackend", "MemoryBackend", "open_backend"]


class Backend(Protocol):
    """Keys are `/`-separated relative paths; no key is another's folder, no name begins with a dot.

    Every write is whole or absent, also after a kill -9 and a lost answer: who asks again learns
    how it ended. Raises StoreFull where there is no space, StoreUnreachable where the place does
    not answer, StoreDenied where it refuses.
    """

    address: str
    """As a user writes it: a folder, or `s3://bucket/prefix`. Holds no credential."""

    def create(self, key: str, data: bytes) -> bool:
        """Write `data` at `key` if nothing is there; False if something else is.

        True also if exactly `data` is there already: an answer that was lost and asked for again
        looks like that, so whoever races must write bytes of its own.
        """

    def swap(self, key: str, data: bytes, expected: bytes | None) -> bool:
        """Replace `expected` (None: nothing there) by `data` atomically; False if it differs.

        As with `create`, whoever races must write bytes of its own.
        """

    def read(self, key: str) -> bytes | None:
        """The bytes at `key`, or None."""

    def read_all(self, keys: Sequence[str]) -> list[bytes | None]:
        """The bytes at each of `keys`, at once where that is faster."""

    def sizes(self, prefix: str) -> dict[str, int]:
        """Every file under the folder `prefix`, by its path below it, with its size in bytes."""

    def children(self, prefix: str) -> list[str]:
        """The names directly under the folder `prefix`, sorted."""

    def put_file(self, key: str, source: Path) -> None:
        """Store a finished local file at `key`, which is unique to this attempt; again is fine."""

    def chunks(self, key: str) -> Iterator[bytes]:
        """The bytes at `key` as a stream. Raises FileNotFoundError if nothing is there."""

    def local_path(self, key: str) -> Path | None:
        """The local file or folder that is `key`, or None where bytes lie elsewhere."""

    def delete(self, prefix: str) -> None:
        """Remove the file at `prefix`, or everything under that folder; nothing there is fine."""


def open_backend(address: str | Path) -> Backend:
    """The back end of a store's address: a folder, `s3://bucket/prefix` or `memory://name`.

    Raises RequestError for another scheme, and for credentials written into the address.
    """
    text = str(address)
    scheme, marker, rest = text.partition("://")
    if not marker:
        return LocalBackend(_folder(Path(text).expanduser()))
    if scheme == "file":
        return LocalBackend(_folder(Path(rest)))
    if scheme == "memory":
        return MemoryBackend(rest)
    if scheme == "s3":
        from storage.backends.s3 import S3Backend  # aiobotocore: 0.5 s, and only wanted here

        return S3Backend(text)
    remedy = "Give a folder, or s3://bucket/prefix for S3 and whatever speaks its API."
    raise RequestError(Fault("store", f"`{scheme}://…`", "a folder or s3://", remedy))


def _folder(path: Path) -> Path:
    """The whole path of a folder that is there, or could be made."""
    with os_errors_named(path):
        whole = path.resolve()
        nearest = next(place for place in (whole, *whole.parents) if place.exists())
    if nearest.is_dir():
        return whole
    remedy = "Choose another store with --store, or move that file away."
    found = f"a file at {nearest}"
    raise PathUnusable(Fault(f"store {path}", found, "a folder", remedy, "not_a_folder"))
