"""A folder on a local disk, with the atomics that the commit protocol needs."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from storage.errors import os_errors_named
from storage.files import link_or_copy, temporary_beside

_CHUNK_BYTES = 1 << 20
_LOCK_FILE = re.compile(r"\..+\.lock")


class LocalBackend:
    """Keys are files under `root`; names that begin with a dot are not keys.

    `create` is a hard link of a fully written and synced temporary file, so a reader sees all of
    it or nothing, and only one writer wins. `swap` holds a lock that the operating system drops
    when its process dies.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.address = str(root)

    def local_path(self, key: str) -> Path | None:
        return self.root / key

    def create(self, key: str, data: bytes) -> bool:
        target = self.root / key
        with os_errors_named(target), temporary_beside(target) as temporary:
            _write_synced(temporary, data)
            if not _link_once(temporary, target):
                return self.read(key) == data
            _sync_folder(target.parent)
        return True

    def swap(self, key: str, data: bytes, expected: bytes | None) -> bool:
        target = self.root / key
        with os_errors_named(target), temporary_beside(target) as temporary:
            with _lock(target):
                if self.read(key) != expected:
                    return False
                _write_synced(temporary, data)
                if expected is not None:
                    temporary.replace(target)
                elif not _link_once(temporary, target):  # `create` takes no lock
                    return False
            _sync_folder(target.parent)
        return True

    def read(self, key: str) -> bytes | None:
        with os_errors_named(self.root / key):
            try:
                return (self.root / key).read_bytes()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return None

    def read_all(self, keys: Sequence[str]) -> list[bytes | None]:
        return [self.read(key) for key in keys]

    def sizes(self, prefix: str) -> dict[str, int]:
        found: dict[str, int] = {}
        with os_errors_named(self.root / prefix):
            _list(self.root / prefix, "", found)
        return found

    def children(self, prefix: str) -> list[str]:
        with os_errors_named(self.root / prefix):
            return sorted(entry.name for entry in _entries(self.root / prefix) if _holds(entry))

    def put_file(self, key: str, source: Path) -> None:
        target = self.root / key
        with os_errors_named(target):
            link_or_copy(source, target)  # the work folder is on the same disk: no copy
            _sync_folder(target.parent)

    def chunks(self, key: str) -> Iterator[bytes]:
        if not (self.root / key).is_file():
            raise FileNotFoundError(key)
        with os_errors_named(self.root / key), (self.root / key).open("rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                yield chunk

    def delete(self, prefix: str) -> None:
        target = self.root / prefix
        with os_errors_named(target):
            if target.is_dir():
                shutil.rmtree(target, onerror=_unless_gone)
            elif target.exists():
                with _lock(target):  # a swap under way would write it again
                    target.unlink(missing_ok=True)


def _entries(folder: Path | str) -> list[os.DirEntry[str]]:
    """What lies in the folder and is a key, or part of one."""
    try:
        with os.scandir(folder) as found:
            return [entry for entry in found if not entry.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _list(folder: Path | str, path: str, found: dict[str, int]) -> None:
    for entry in _entries(folder):
        if entry.is_dir(follow_symlinks=False):
            _list(entry.path, f"{path}{entry.name}/", found)
        else:
            with contextlib.suppress(FileNotFoundError):  # removed since
                found[path + entry.name] = entry.stat().st_size


def _holds(entry: os.DirEntry[str]) -> bool:
    """Whether any file is there: on an object store an emptied folder is gone.

    What a killed writer left counts too, so that whoever clears up can find it.
    """
    if not entry.is_dir(follow_symlinks=False):
        return True
    try:
        with os.scandir(entry.path) as found:
            return any(not _LOCK_FILE.fullmatch(each.name) and _holds(each) for each in found)
    except FileNotFoundError:
        return False


def _lock(target: Path) -> FileLock:
    return FileLock(target.with_name(f".{target.name}.lock"))


def _link_once(temporary: Path, target: Path) -> bool:
    """Give the file its name; False if something is there."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        return False
    return True


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _unless_gone(_function: object, _path: object, failure: Any) -> None:
    """Two that delete the same folder at once are of one mind."""
    error = failure[1]
    if not isinstance(error, FileNotFoundError):
        raise error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
