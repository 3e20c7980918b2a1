"""Local copies of a remote store's files, by content: a model is fetched once, whoever asks.

    files/{sha256[:2]}/{sha256}     verified while it was fetched
    views/{store}/{name}/{version}/ hard links to these, laid out as the artifact

fsspec's own file caches were tried: they key by URL and time, not by content, and verify nothing.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from storage.errors import DamagedArtifact, os_errors_named
from storage.files import HashingFile, link_or_copy, temporary_beside
from storage.manifest import FileEntry

Fetch = Callable[[], Iterator[bytes]]


def cache_root() -> Path:
    """`PHUSA_CACHE`, or `phusa` in the user's cache folder."""
    given = os.environ.get("PHUSA_CACHE")
    if given:
        return Path(given).expanduser().resolve()
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "phusa"


class Cache:
    """Safe for several processes: files appear whole, under the name of their content."""

    def __init__(self, root: Path, store: str) -> None:
        self._files = root / "files"
        self._views = root / "views" / store

    def view(self, name: str, version: str) -> Path:
        """The folder that holds what was placed of one artifact."""
        return self._views / name / version

    def place(self, view: Path, entry: FileEntry, fetch: Fetch) -> Path:
        """The local path of one file of a view, fetched if it is nowhere here yet.

        Raises DamagedArtifact, keeping nothing, if what is fetched is not what the entry says.
        """
        target = view / entry.path
        if _is_whole(target, entry):
            return target
        with os_errors_named(target):
            cached = self._cached(entry)
            if not _is_whole(cached, entry):
                _fetch(cached, entry, fetch)
            link_or_copy(cached, target)
        return target

    def keep(self, entry: FileEntry, source: Path) -> None:
        """Take a file that was just built here, so that it is never fetched."""
        link_or_copy(source, self._cached(entry))

    def size(self) -> int:
        """Bytes that all files take."""
        return sum(path.stat().st_size for path in self._files.glob("*/*"))

    def trim(self, unused_s: float) -> int:
        """Drop views and files that nobody asked for in that many seconds; returns bytes freed."""
        oldest = time.time() - unused_s
        for view in self._views.glob("*/*"):
            if view.stat().st_mtime < oldest:
                shutil.rmtree(view, ignore_errors=True)
        freed = 0
        for file in self._files.glob("*/*"):
            status = file.stat()
            if status.st_nlink == 1 and status.st_mtime < oldest:
                file.unlink(missing_ok=True)
                freed += status.st_size
        return freed

    def drop(self, name: str, version: str, entries: Iterable[FileEntry]) -> None:
        """Remove the view of one artifact and its files; who needs one fetches it again."""
        shutil.rmtree(self.view(name, version), ignore_errors=True)
        for entry in entries:
            self._cached(entry).unlink(missing_ok=True)

    def _cached(self, entry: FileEntry) -> Path:
        return self._files / entry.sha256[:2] / entry.sha256


def _fetch(target: Path, entry: FileEntry, fetch: Fetch) -> None:
    with temporary_beside(target) as temporary:
        with HashingFile(temporary) as file:
            for chunk in fetch():
                file.write(chunk)
        if file.sha256 != entry.sha256:
            raise DamagedArtifact(
                f"{entry.path} came as {temporary.stat().st_size} bytes with sha256 "
                f"{file.sha256[:12]}; expected {entry.size} bytes with "
                f"{entry.sha256[:12]}. `phusa verify --deep` names all such files; run the "
                "stage again with --force."
            )
        temporary.replace(target)


def touch(view: Path) -> None:
    """Note that a view is in use."""
    view.mkdir(parents=True, exist_ok=True)
    os.utime(view)


def _is_whole(path: Path, entry: FileEntry) -> bool:
    try:
        return path.stat().st_size == entry.size
    except (FileNotFoundError, NotADirectoryError):
        return False
