"""Plans of documents, as the stage makes them before it packs, and what its rows then ask for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xxhash

from storage.takedown import NOTHING, Forgotten
from tasks.shard.config import ShardConfig
from tasks.shard.division import CountTokens, Plan, divide, sign_shard
from tasks.shard.split import ByUrl

Row = dict[str, Any]
BY_URL = ByUrl()


def is_held_out(url: str, config: ShardConfig) -> bool:
    """Whether a page is held out for validation where each is by itself."""
    draw = xxhash.xxh3_64_intdigest(url.encode(), seed=config.split_seed) / 2**64
    return draw < config.validation_share


def plan_of(
    documents: Sequence[Path],
    config: ShardConfig,
    forgotten: Forgotten = NOTHING,
    count_tokens: CountTokens | None = None,
) -> list[Path]:
    """The plans of shards, written beside the first one."""
    signed = [path.with_name(f"{n}-{path.name}.signed") for n, path in enumerate(documents)]
    for path, target in zip(documents, signed, strict=True):
        target.unlink(missing_ok=True)
        sign_shard(path, config, target, forgotten, count_tokens)
    plans = [path.with_suffix(".plan") for path in signed]
    divide(signed, config, plans)
    return plans


def sides_of(plan: Path) -> list[int]:
    """The side of each document, of which each stands in the plan once."""
    found = Plan.read(plan)
    return [side for _, side in sorted(zip(found.rows.tolist(), found.sides.tolist(), strict=True))]


def targets_of(rows: Sequence[Row]) -> dict[str, list[int]]:
    """The tokens of each document as they are predicted: every position but a row's first."""
    found: dict[str, list[int]] = {}
    for row in rows:
        for span in row["spans"]:
            ids = row["input_ids"][max(span["start"], 1) : span["end"]]
            found.setdefault(span["document_id"], []).extend(ids)
    return {name: ids for name, ids in found.items() if ids}
