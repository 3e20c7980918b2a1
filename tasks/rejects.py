"""Why a stage dropped something, as it is read back from `records.REJECT`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from storage.parquet import find_rows


@dataclass(frozen=True)
class Rejected:
    """What was dropped (a document id or, where there is no document, the URL), and why."""

    id: str
    url: str
    reason: str
    value: str
    threshold: str


def find_rejects(
    paths: Sequence[Path], key: Literal["id", "url"], values: Collection[str]
) -> tuple[Rejected, ...]:
    """The rejects of these ids or URLs."""
    columns = ("id", "url", "reason", "value", "threshold")
    return tuple(Rejected(**row) for row in find_rows(paths, key, values, columns))
