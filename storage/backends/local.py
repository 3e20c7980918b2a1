"""A folder on a local disk, with the atomics that the commit protocol needs."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from storage.errors import full_disk_named


class LocalBackend:
    """Keys are files under `root`.

    `create` is a hard link of a fully written and synced temporary file, so a reader sees all of
    it or nothing, and only one writer wins. `swap` holds a lock that the operating system drops
    when its process dies.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def local_path(self, key: str) -> Path:
        return self.root / key

    def create(self, key: str, data: bytes) -> bool:
        target = self.root / key
        temporary = self._write_temporary(target, data)
        try:
            os.link(temporary, target)
        except FileExistsError:
            return False
        finally:
            temporary.unlink()
        _sync_folder(target.parent)
        return True

    def swap(self, key: str, data: bytes, expected: bytes | None) -> bool:
        target = self.root / key
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f".{target.name}.lock")):
            if self.read(key) != expected:
                return False
            self._write_temporary(target, data).replace(target)
        _sync_folder(target.parent)
        return True

    def read(self, key: str) -> bytes | None:
        try:
            return (self.root / key).read_bytes()
        except FileNotFoundError:
            return None

    def size(self, key: str) -> int | None:
        try:
            return (self.root / key).stat().st_size
        except FileNotFoundError:
            return None

    def children(self, prefix: str) -> Iterator[str]:
        try:
            names = sorted(path.name for path in (self.root / prefix).iterdir())
        except FileNotFoundError:
            return
        yield from (name for name in names if not name.startswith("."))

    def put_file(self, key: str, source: Path) -> None:
        target = self.root / key
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)  # the work folder is on the same disk: no copy
        except OSError:
            with full_disk_named(target):
                shutil.copyfile(source, target)

    def delete(self, prefix: str) -> None:
        target = self.root / prefix
        if target.is_file():
            target.unlink(missing_ok=True)
        else:
            shutil.rmtree(target, ignore_errors=True)

    def _write_temporary(self, target: Path, data: bytes) -> Path:
        target.parent.mkdir(parents=True, exist_ok=True)
        with full_disk_named(target):
            handle, name = tempfile.mkstemp(dir=target.parent, prefix=".tmp-")
            temporary = Path(name)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
        return temporary


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
