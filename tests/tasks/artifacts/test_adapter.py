"""The pairs of a document, and the steps that learnt from them, read back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storage.records import PAIR, STEP
from tasks.artifacts.adapter import TracedPair, count_reads, find_pairs
from tasks.artifacts.artifact import Files


def files_of(
    train: list[Path], validation: Sequence[Path] = (), steps: Sequence[Path] = ()
) -> Files:
    sides = {"train": train, "validation": validation, "steps": steps}
    return {f"pairs/{name}.parquet": paths for name, paths in sides.items()}.__getitem__


def _table(path: Path, rows: Sequence[dict[str, Any]], schema: pa.Schema) -> Path:
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), path)
    return path


def test_pairs_of_a_document_with_their_steps(tmp_path: Path) -> None:
    def pair(name: str, document_id: str) -> dict[str, str]:
        return {"name": name, "prompt": "?", "answer": name, "document_id": document_id}

    train = [_table(tmp_path / "t", [pair("b", "1"), pair("c", "2"), pair("long", "1")], PAIR)]
    validation = [_table(tmp_path / "v", [pair("a", "1"), pair("d", "2")], PAIR)]
    taken = [(1, "b", "1"), (1, "c", "2"), (4, "b", "1")]
    rows = [dict(zip(STEP.names, row, strict=True)) for row in taken]
    steps = [_table(tmp_path / "s", rows, STEP)]

    assert find_pairs(files_of(train, validation, steps), {"1", "3"}) == (
        TracedPair("a", "1", "validation", ()),
        TracedPair("b", "1", "train", (1, 4)),
        TracedPair("long", "1", "train", ()),
    )
    assert find_pairs(files_of(train, validation), {"2"}) == (
        TracedPair("c", "2", "train", ()),
        TracedPair("d", "2", "validation", ()),
    )
    assert count_reads(files_of(train, steps=steps)) == {"1": 2, "2": 1}
    assert count_reads(files_of(train)) == {"1": 2, "2": 1}
    assert find_pairs(files_of(train, validation, steps), {"3"}) == ()
