"""Why a stage dropped something, as it is read back from `records.REJECT`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

COLUMNS = ("id", "url", "reason", "value", "threshold")


@dataclass(frozen=True)
class Rejected:
    """What was dropped (a document id or, where there is no document, the URL), and why."""

    id: str
    url: str
    reason: str
    value: str
    threshold: str

    @property
    def verdict(self) -> str:
        """Say the reason, what was measured, and its bound."""
        return f"{self.reason}: {self.value}, wanted {self.threshold}"


def find_rejects(
    paths: Sequence[Path], key: Literal["id", "url"], values: Collection[str]
) -> tuple[Rejected, ...]:
    """Give the rejects of these ids or URLs."""
    from storage.parquet import find_rows  # pyarrow: 0.2 s, and only wanted where tables are read

    return tuple(Rejected(**row) for row in find_rows(paths, key, values, COLUMNS))
