"""Resumable scratch for one build: finished files stay finished across a kill -9.

A file is written under a temporary name and hashed on its way, so that sealing never reads it
again; then it is synced, renamed, and only then noted. A build that starts again asks
`entry(path)` and skips what is noted; a file that was renamed but not noted is simply written
again, with the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from pydantic import JsonValue

from storage.errors import os_errors_named
from storage.files import HashingFile, temporary_beside, write_whole
from storage.manifest import FileEntry


class Workspace:
    """The folder `work/{stage}/{fingerprint}/`; of it, `data/` becomes the artifact."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data, self.scratch = root / "data", root / "scratch"
        self._notes = root / "notes"
        for folder in (self.data, self.scratch, self._notes):
            folder.mkdir(parents=True, exist_ok=True)

    def entry(self, path: str) -> FileEntry | None:
        """What was noted of a finished file, or None if it has to be (re)made."""
        try:
            entry = FileEntry.model_validate_json(self._note(path).read_bytes())
            size = (self.data / path).stat().st_size
        except (FileNotFoundError, ValueError):
            return None
        return entry if size == entry.size else None

    @contextmanager
    def writing(self, path: str, *, volatile: bool = False) -> Iterator[BinaryIO]:
        """Yield a stream, written from begin to end; on success it is the finished file `path`."""
        target = self.data / path
        with os_errors_named(target), temporary_beside(target) as temporary:
            with HashingFile(temporary) as stream:
                yield cast("BinaryIO", stream)
                stream.sync()
            self._finish(temporary, path, stream.sha256, volatile=volatile)

    def _finish(self, temporary: Path, path: str, sha256: str, *, volatile: bool) -> None:
        rows = _num_rows(temporary) if path.endswith(".parquet") else None
        size = temporary.stat().st_size
        entry = FileEntry(path=path, size=size, sha256=sha256, rows=rows, volatile=volatile)
        temporary.replace(self.data / path)
        self._write_note(entry)

    @contextmanager
    def writing_folder(self, path: str) -> Iterator[Path]:
        """Yield a temporary folder; on success all its files are finished under `path`.

        For libraries that write files by name, and small ones: they are read once more, to hash.
        """
        temporary = self.scratch / f".tmp-{uuid.uuid4().hex}"
        temporary.mkdir(parents=True)
        try:
            with os_errors_named(self.data / path):
                yield temporary
                for file in sorted(p for p in temporary.rglob("*") if p.is_file()):
                    with file.open("rb") as stream:
                        digest = hashlib.file_digest(stream, "sha256").hexdigest()
                        os.fsync(stream.fileno())
                    inside = (Path(path) / file.relative_to(temporary)).as_posix()
                    (self.data / inside).parent.mkdir(parents=True, exist_ok=True)
                    self._finish(file, inside, digest, volatile=False)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def write_json(self, path: str, value: JsonValue) -> None:
        """Write a small JSON document with sorted keys: equal values give equal bytes."""
        text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
        with self.writing(path) as stream:
            stream.write(text.encode() + b"\n")

    def entries(self) -> list[FileEntry]:
        """Every finished file that goes into the artifact, sorted by path.

        Parts of a table that have no row stay behind: `datasets` 5 cannot read them (ArrowInvalid,
        "BatchSize must be greater than 0").
        """
        notes = (FileEntry.model_validate_json(p.read_bytes()) for p in self._notes.glob("*.json"))
        wanted = (entry for entry in notes if not (entry.rows == 0 and "/" in entry.path))
        return sorted(wanted, key=lambda entry: entry.path)

    def begin_attempt(self) -> None:
        """Start the clock; an attempt that was interrupted counts up to its last sign of life."""
        earlier, started = self._clock()
        if started is not None:
            last = max(path.stat().st_mtime for path in self.root.rglob("*"))
            earlier += max(last - started, 0.0)
        clock = {"earlier_s": earlier, "started": time.time()}
        write_whole(self.root / "clock.json", json.dumps(clock).encode())

    def seconds(self) -> float:
        """Wall time of this attempt and of the interrupted ones before it."""
        earlier, started = self._clock()
        return earlier + (time.time() - started if started is not None else 0.0)

    def _clock(self) -> tuple[float, float | None]:
        """Seconds of finished attempts, and when the running one began (seconds since 1970)."""
        try:
            clock = json.loads((self.root / "clock.json").read_text())
        except (FileNotFoundError, ValueError):
            return 0.0, None
        return clock["earlier_s"], clock["started"]

    def _note(self, path: str) -> Path:
        return self._notes / f"{hashlib.sha256(path.encode()).hexdigest()[:32]}.json"

    def _write_note(self, entry: FileEntry) -> None:
        write_whole(self._note(entry.path), entry.model_dump_json().encode())


def _num_rows(file: Path) -> int:
    import pyarrow.parquet as pq  # 0.1 s, which commands that only look need not pay

    return int(pq.read_metadata(file).num_rows)
