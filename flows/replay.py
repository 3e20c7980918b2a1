"""Other thresholds on texts that were measured: what a cleaning would have kept, in seconds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from storage.errors import Fault, RequestError
from storage.store import Store
from tasks.clean.config import CleanConfig
from tasks.clean.judging import Verdicts

KEPT = ""
"""The reason of what is kept."""

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


def replay(store: Store, target: str, config: CleanConfig) -> Replay:
    """Judge the texts of a cleaning (`clean`, `clean@VERSION`) again, by another configuration.

    Extraction, trims and everything else that makes the text is as it was. Raises RequestError if a
    filter asks for a signal that the cleaning did not measure.
    """
    manifest = store.resolve(target)
    verdicts = Verdicts(config)
    paths = store.files(manifest, "signals/")
    _check(manifest.label, verdicts.signal_names, paths)
    before: Counter[str] = Counter()
    after: Counter[str] = Counter()
    moved: dict[tuple[str, str], list[str]] = {}
    counts: Counter[tuple[str, str]] = Counter()
    for row in _rows(paths):
        verdict = verdicts.decide(row["language"], row["language_score"], row)
        was, now = row["reason"], KEPT if verdict is None else verdict.reason
        before[was] += 1
        after[now] += 1
        if was != now:
            counts[was, now] += 1
            urls = moved.setdefault((was, now), [])
            if len(urls) < _EXAMPLES:
                urls.append(row["url"])
    changes = tuple(
        Change(*pair, number, tuple(moved[pair])) for pair, number in counts.most_common()
    )
    return Replay(manifest.label, dict(before), dict(after), changes)


def _rows(paths: Sequence[Path]) -> Iterator[Mapping[str, Any]]:
    for path in paths:
        for batch in pq.ParquetFile(path).iter_batches():
            yield from batch.to_pylist()


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
