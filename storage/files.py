"""Local files that are there as a whole or not at all, and that are hashed on their way."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from typing_extensions import Buffer


@contextmanager
def temporary_beside(target: Path) -> Iterator[Path]:
    """Yield a path in the folder of `target`, which is made; what is left there at the end goes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".tmp-{uuid.uuid4().hex}")
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(target: Path, data: bytes) -> None:
    """Write a file that no kill of this process leaves torn. It is not synced."""
    with temporary_beside(target) as temporary:
        temporary.write_bytes(data)
        temporary.replace(target)


def link_or_copy(source: Path, target: Path) -> None:
    """Give a finished file a second name, or a synced copy where the disk has no such thing."""
    with temporary_beside(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
            with temporary.open("rb") as copied:
                os.fsync(copied.fileno())
        # Where both are one inode already, rename(2) does nothing: the temporary name goes all the
        # same.
        temporary.replace(target)


_ALONGSIDE_BYTES = 256 << 10  # from here on, hashing in a thread gains more than it costs


class HashingFile(io.BufferedIOBase):
    """A new file that is hashed while it is written. It only goes forward.

    Large pieces are hashed in a thread while the system takes them: sha256 alone takes 5 s for
    10 GB, which would otherwise come on top of the 22 s that the disk takes.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb", buffering=_ALONGSIDE_BYTES)
        self._digest = hashlib.sha256()
        self._hasher: ThreadPoolExecutor | None = None

    def write(self, data: Buffer) -> int:
        if memoryview(data).nbytes < _ALONGSIDE_BYTES:
            self._digest.update(data)
            return self._file.write(data)
        self._hasher = self._hasher or ThreadPoolExecutor(1, "phusa-sha256")
        hashing = self._hasher.submit(self._digest.update, data)
        try:
            return self._file.write(data)
        finally:
            hashing.result()  # the caller may reuse the buffer

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell()

    def flush(self) -> None:
        if not self._file.closed:
            self._file.flush()

    def sync(self) -> None:
        """Put on disk what was written."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        if self._hasher is not None:
            self._hasher.shutdown()
            self._hasher = None
        self._file.close()
        super().close()

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()
