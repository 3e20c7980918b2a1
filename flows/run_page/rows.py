"""The table of a stage's rows: in, out, and what became of the rest, from its manifest alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flows.stages import STAGES
from storage.manifest import Manifest

UNITS_IN = {
    "crawl": "URLs asked for",
    "clean": "pages",
    "quality": "documents",
    "dedup": "documents",
    "tokenizer": "documents",
    "shard": "documents",
    "pretrain": "sequences",
    "finetune": "pairs",
}

_PARTS = {
    "shard": {"train_tokens": "tokens to train on", "validation_tokens": "tokens held out"},
    "finetune": {"pairs": "pairs to train on", "held_out_pairs": "pairs held out"},
}
"""Stats of a stage that together are a whole."""


def count_rows(manifest: Manifest) -> list[dict[str, Any]]:
    """One row for each count: `what`, `rows` and, of those that make up a whole, the `share`."""
    name, asked = manifest.name, manifest.rows_in
    whole = asked if is_selection(manifest) else 0
    rows = [
        _row(f"in: {UNITS_IN[name]}", asked),
        _row(f"out: {STAGES[name].unit}", manifest.rows_out, whole),
    ]
    rows += [_row(f"dropped: {why}", count, whole) for why, count in drops(manifest).items()]
    parts = {says: _count(manifest, stat) for stat, says in _PARTS.get(name, {}).items()}
    rows += [_row(says, count, sum(parts.values())) for says, count in parts.items()]
    return rows


def is_selection(manifest: Manifest) -> bool:
    """Whether the rows that go out are some of those that came in."""
    return manifest.name in ("crawl", "clean", "quality", "dedup")


def drops(manifest: Manifest) -> dict[str, int]:
    """How many rows were dropped for each reason, the most frequent first.

    Rows that are missing without a reason are named too: that would be a bug of the stage.
    """
    if not is_selection(manifest):
        return {}
    found: dict[str, int] = {}
    for stat in ("rejected", "dropped"):
        counts = manifest.stats.get(stat)
        found |= {k: int(str(v)) for k, v in counts.items()} if isinstance(counts, Mapping) else {}
    if manifest.name == "dedup":
        found["duplicate"] = _count(manifest, "duplicates")
        if already := _count(manifest, "already_there"):
            found["in an earlier corpus"] = already
    unexplained = manifest.rows_in - manifest.rows_out - sum(found.values())
    found |= {"no reason was kept": unexplained} if unexplained else {}
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _count(manifest: Manifest, stat: str) -> int:
    value = manifest.stats.get(stat)
    return value if isinstance(value, int) else 0


def _row(what: str, count: int, of: int = 0) -> dict[str, Any]:
    return {"what": what, "rows": f"{count:,}", "share": _share(count, of)}


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else ""
