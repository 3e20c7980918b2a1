"""Bytes in this process's memory, for tests: as strict as the others, and gone with the process."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

_LOCK = threading.RLock()
_PLACES: dict[str, dict[str, bytes]] = {}


class MemoryBackend:
    """Back ends of one name share their bytes, as two stores on one disk do."""

    def __init__(self, name: str) -> None:
        self.address = f"memory://{name}"
        with _LOCK:
            self._files = _PLACES.setdefault(name, {})

    def create(self, key: str, data: bytes) -> bool:
        with _LOCK:
            self._check(key)
            return self._files.setdefault(key, data) == data

    def swap(self, key: str, data: bytes, expected: bytes | None) -> bool:
        with _LOCK:
            if self._files.get(key) != expected:
                return False
            self._check(key)
            self._files[key] = data
            return True

    def read(self, key: str) -> bytes | None:
        with _LOCK:
            return self._files.get(key)

    def read_all(self, keys: Sequence[str]) -> list[bytes | None]:
        with _LOCK:
            return [self._files.get(key) for key in keys]

    def sizes(self, prefix: str) -> dict[str, int]:
        with _LOCK:
            return {path: len(self._files[key]) for key, path in self._below(prefix).items()}

    def children(self, prefix: str) -> list[str]:
        with _LOCK:
            return sorted({path.partition("/")[0] for path in self._below(prefix).values()})

    def put_file(self, key: str, source: Path) -> None:
        data = source.read_bytes()
        with _LOCK:
            self._check(key)
            self._files[key] = data

    def chunks(self, key: str) -> Iterator[bytes]:
        data = self.read(key)
        if data is None:
            raise FileNotFoundError(key)
        if data:
            yield data

    def local_path(self, key: str) -> Path | None:
        return None

    def delete(self, prefix: str) -> None:
        with _LOCK:
            for key in self._below(prefix):
                del self._files[key]
            self._files.pop(prefix, None)

    def _below(self, prefix: str) -> dict[str, str]:
        """The keys under the folder, each with its path below it."""
        start = f"{prefix}/" if prefix else ""
        return {key: key[len(start) :] for key in self._files if key.startswith(start)}

    def _check(self, key: str) -> None:
        """A disk refuses these keys or hides them, so no test may come to lean on them."""
        parts = key.split("/")
        assert all(part and not part.startswith(".") for part in parts), f"no key: {key!r}"
        folders = ["/".join(parts[:end]) for end in range(1, len(parts))]
        assert not self._files.keys() & set(folders), f"{key!r} lies under a file"
        assert key in self._files or not self._below(key), f"{key!r} is a folder"
