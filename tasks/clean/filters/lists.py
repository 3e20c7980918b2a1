"""Lists of a recipe: entries that stand in it, and files of them. Long lists belong in files."""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar

from tasks.pinned import PinnedFile


class ListFile(PinnedFile):
    """A UTF-8 text file with an entry a line; blank lines and those that begin with # are none."""

    what: ClassVar[str] = "list"

    def entries(self) -> tuple[str, ...]:
        """In the file's order, without white space around them."""
        self.require_unchanged()
        text = self.place.read_text("utf-8-sig", "replace")
        lines = (line.strip() for line in text.splitlines())
        return tuple(line for line in lines if line and not line.startswith("#"))


Entry = str | ListFile


@lru_cache(maxsize=64)
def listed(entries: tuple[Entry, ...]) -> frozenset[str]:
    """All entries, in lower case."""
    groups = ((entry,) if isinstance(entry, str) else entry.entries() for entry in entries)
    return frozenset(one.strip().lower() for group in groups for one in group if one.strip())
