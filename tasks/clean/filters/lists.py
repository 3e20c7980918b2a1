"""Lists of a recipe: entries that stand in it, and files of them.

A file is known by its content's digest, which is part of the fingerprint; so a changed list is
another configuration, and where the file lies is not. Long lists belong in files.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import xxhash
from pydantic import model_validator

from storage.errors import Fault, RequestError
from tasks.config import Config, knob


class ListFile(Config):
    """A UTF-8 text file with an entry a line; blank lines and those that begin with # are none."""

    path: str = knob(..., "where it lies", identity=False)
    digest: str = knob("", "xxh3-128 of the file, in hex. Empty: found when the recipe is read")

    @model_validator(mode="before")
    @classmethod
    def _find_digest(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("path") and not given.get("digest"):
            try:
                body = Path(str(given["path"])).expanduser().read_bytes()
            except OSError as error:
                raise ValueError(f"cannot read the list ({error}); expected a text file") from error
            return {**given, "digest": _digest(body)}
        return given

    def entries(self) -> tuple[str, ...]:
        """In the file's order, without white space around them."""
        try:
            body = Path(self.path).expanduser().read_bytes()
        except OSError as error:
            raise RequestError(self._fault(str(error))) from error
        if _digest(body) != self.digest:
            raise RequestError(self._fault(f"the digest {_digest(body)}"))
        lines = (line.strip() for line in body.decode("utf-8-sig", "replace").splitlines())
        return tuple(line for line in lines if line and not line.startswith("#"))

    def _fault(self, found: str) -> Fault:
        expected = f"the list whose digest is {self.digest}, as it was when the recipe was read"
        return Fault(self.path, found, expected, "Put the file back, or start the run again.")


Entry = str | ListFile


@lru_cache(maxsize=64)
def listed(entries: tuple[Entry, ...]) -> frozenset[str]:
    """All entries, in lower case."""
    groups = ((entry,) if isinstance(entry, str) else entry.entries() for entry in entries)
    return frozenset(one.strip().lower() for group in groups for one in group if one.strip())


def _digest(body: bytes) -> str:
    return xxhash.xxh3_128_hexdigest(body)
