"""What people look at of an artifact: rows of it, or of what it left out, drawn at random."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from storage.manifest import FileEntry
    from tasks.artifacts.artifact import Artifact

Row = dict[str, Any]
Asked = Callable[["pa.ChunkedArray"], "pa.ChunkedArray"]
"""Says of each value of a column whether it is one that is wanted."""


@dataclass(frozen=True)
class Wanted:
    """Which rows are drawn: of what was kept, or of what was `dropped`; of one reason or language
    alone, where these are not empty."""

    dropped: bool
    count: int
    seed: int = 0
    reason: str = ""
    language: str = ""


@dataclass(frozen=True)
class Excerpt:
    """One row for people: what it is, why it was dropped, its text. `note` says what that is, or
    why there is none; `characters` counts the whole text where only its beginning is here."""

    id: str = ""
    url: str = ""
    language: str = ""
    reason: str = ""
    value: str = ""
    threshold: str = ""
    title: str = ""
    text: str = ""
    note: str = ""
    characters: int = 0


@dataclass(frozen=True)
class Excerpts:
    """The rows that were drawn, of so many that were asked for."""

    total: int
    rows: tuple[Excerpt, ...]


class Draw:
    """A draw without replacement, over all rows that are offered.

    Each gets a random number, and those with the smallest stay: whatever their number, no more is
    held than the draw and the numbers of one file. Fewer rows of one seed are the first of more.
    """

    def __init__(self, wanted: Wanted) -> None:
        import numpy as np

        self._count, self._random = wanted.count, np.random.default_rng(wanted.seed)
        self._held: list[tuple[float, Artifact, str, tuple[str, ...], int]] = []
        self.total = 0

    def offer(
        self,
        artifact: Artifact,
        prefix: str,
        columns: Sequence[str] = (),
        where: Mapping[str, Asked | None] | None = None,
    ) -> None:
        """Offer the rows of the files under `prefix` of which all that is asked by `where` of their
        columns holds; of what is drawn, `columns` (all) are read."""
        asked = {name: holds for name, holds in (where or {}).items() if holds is not None}
        for entry in artifact.manifest.files:
            if not entry.rows or not entry.path.startswith(prefix):
                continue
            positions = _matching(artifact, entry, asked)
            numbers = self._random.random(len(positions))
            self.total += len(positions)
            self._held += [
                (float(numbers[at]), artifact, entry.path, tuple(columns), int(positions[at]))
                for at in numbers.argsort()[: self._count]
            ]
            self._held = nsmallest(self._count, self._held, key=lambda one: one[0])

    def rows(self) -> list[Row]:
        """Read what was drawn, in the order of the draw."""
        from storage.parquet import rows_at

        found: dict[tuple[str, int], Row] = {}
        for artifact, path, columns in {(a, p, c) for _, a, p, c, _ in self._held}:
            at = sorted(row for _, _, where, _, row in self._held if where == path)
            rows = rows_at(artifact.files(path)[0], at, columns)
            found |= {(path, position): row for position, row in zip(at, rows, strict=True)}
        return [found[path, position] for _, _, path, _, position in self._held]


def _matching(
    artifact: Artifact, entry: FileEntry, where: Mapping[str, Asked]
) -> npt.NDArray[np.int64]:
    """Give the positions of the rows that are asked for; no file is read where all are."""
    import numpy as np

    from storage.parquet import read_columns

    if not where:
        return np.arange(entry.rows or 0)
    # A whole file at once: `is_in` hashes its values anew for each call.
    table = read_columns(artifact.files(entry.path)[:1], list(where))
    hits = np.ones(len(table), dtype=bool)
    for name, holds in where.items():
        hits &= np.asarray(holds(table[name]))
    return np.flatnonzero(hits)


def equal_to(value: str) -> Asked | None:
    """Ask for one value, or, where it is empty, for any."""
    import pyarrow.compute as pc

    return (lambda column: pc.equal(column, value)) if value else None


def among(values: pa.Array | None) -> Asked | None:
    """Ask for one of these values, or, where they are None, for any."""
    import pyarrow.compute as pc

    return None if values is None else lambda column: pc.is_in(column, value_set=values)
