"""`phusa clean replay`: what a cleaning would have kept with other thresholds, in seconds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Column, Table

from storage.errors import Fault, RequestError
from storage.store import Store
from tasks.clean.config import CleanConfig
from tasks.clean.funnel import KEPT
from tasks.clean.judging import Verdicts

_EXAMPLES = 3


@dataclass(frozen=True)
class Change:
    """Texts whose verdict would be another one; a reason that is empty keeps them."""

    before: str
    after: str
    texts: int
    examples: tuple[str, ...]
    """URLs of the first of them."""


@dataclass(frozen=True)
class Replay:
    """A cleaning's verdicts and those of another configuration, over all texts it measured."""

    label: str
    before: Mapping[str, int]
    after: Mapping[str, int]
    changes: tuple[Change, ...]


def replay(store: Store, target: str, config: CleanConfig, recipe: str | None = None) -> Replay:
    """Judge the texts of a cleaning (NAME, NAME@VERSION) again, by another configuration.

    `recipe` is whose cleaning a bare name means, if several made one.
    Extraction, trims and everything else that makes the text is as it was. Raises RequestError if a
    filter asks for a signal that the cleaning did not measure.
    """
    manifest = store.resolve(target, near=recipe)
    verdicts = Verdicts(config)
    paths = store.files(manifest, "signals/")
    _check(manifest.label, verdicts.signal_names, paths)
    counts: Counter[tuple[str, str]] = Counter()
    urls: dict[tuple[str, str], list[str]] = {}
    for row in _rows(paths):
        verdict = verdicts.decide(row["language"], row["language_score"], row)
        pair = (row["reason"], KEPT if verdict is None else verdict.reason)
        counts[pair] += 1
        examples = urls.setdefault(pair, [])
        if len(examples) < _EXAMPLES:
            examples.append(row["url"])
    changes = tuple(
        Change(*pair, number, tuple(urls[pair]))
        for pair, number in counts.most_common()
        if pair[0] != pair[1]
    )
    return Replay(manifest.label, _by_reason(counts, 0), _by_reason(counts, 1), changes)


def _rows(paths: Sequence[Path]) -> Iterator[Mapping[str, Any]]:
    for path in paths:
        for batch in pq.ParquetFile(path).iter_batches():
            yield from batch.to_pylist()


def _by_reason(counts: Mapping[tuple[str, str], int], side: int) -> dict[str, int]:
    """Count texts by the verdict before (side 0) or after."""
    found: Counter[str] = Counter()
    for pair, number in counts.items():
        found[pair[side]] += number
    return dict(found)


def _check(label: str, wanted: Sequence[str], paths: Sequence[Path]) -> None:
    measured = set(pq.read_schema(paths[0]).names) if paths else set()
    missing = [name for name in wanted if name not in measured]
    if missing:
        raise RequestError(
            Fault(
                "clean.filters",
                f"{label} did not measure {', '.join(missing)}",
                "filters that it had",
                "Run the clean stage with these filters first: phusa run RECIPE --only clean.",
            )
        )


def show_replay(console: Console, found: Replay) -> None:
    """Print texts by verdict, before and after, and which of them would move."""
    table = Table("verdict", Column(found.label, justify="right"), Column("now", justify="right"))
    reasons = sorted(
        {*found.before, *found.after}, key=lambda r: (r != KEPT, -found.before.get(r, 0), r)
    )
    for reason in reasons:
        counts = (f"{side.get(reason, 0):,}" for side in (found.before, found.after))
        table.add_row(reason or "kept", *counts)
    console.print(table)
    for change in found.changes:
        line = f"{change.texts:,} texts: {change.before or 'kept'} → {change.after or 'kept'}"
        console.print(line, highlight=False)
        for url in change.examples:
            console.print(f"  {url}", markup=False, highlight=False, soft_wrap=True)
    if not found.changes:
        console.print("no verdict would be another one")
