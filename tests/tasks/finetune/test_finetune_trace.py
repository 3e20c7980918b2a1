"""The steps that a run records are those it took, and a trace reads them back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer

from storage.records import PAIR, STEP
from tasks.finetune import train as stage
from tasks.finetune.config import FinetuneConfig
from tasks.finetune.instructions import Example, encode_pairs, tabulate_steps
from tasks.finetune.trace import TracedPair, reads_by_document, trace_documents
from tasks.finetune.train import FinetuneData, finetune


def test_steps_are_tabulated_by_step_and_name() -> None:
    examples = [Example([1, 2], 1, name, f"id of {name}") for name in "cab"]
    table = tabulate_steps(examples, [[0, 1], [2], [1, 0], [2]])
    assert table.schema.equals(STEP)
    assert list(zip(table["step"].to_pylist(), table["name"].to_pylist(), strict=True)) == [
        *[(1, "a"), (1, "c"), (2, "b"), (3, "a"), (3, "c"), (4, "b")]
    ]
    assert table["document_id"].to_pylist()[0] == "id of a"


def test_the_recorded_steps_are_those_that_were_taken(
    tiny_finetuning: FinetuneConfig,
    finetune_data: FinetuneData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learnt: list[list[list[int]]] = []
    step = stage._Run._step

    def recorded(run: Any, examples: Sequence[Example]) -> float:
        learnt.append(sorted(example.ids for example in examples))
        return step(run, examples)

    monkeypatch.setattr(stage._Run, "_step", recorded)
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    table = finetune(tiny_finetuning, finetune_data, tmp_path / "snapshots", adapter).steps

    tokenizer = Tokenizer.from_file(str(finetune_data.base / "tokenizer.json"))
    pairs = {row["name"]: row for row in pq.read_table(finetune_data.train).to_pylist()}
    ids = {e.name: e.ids for e in encode_pairs(list(pairs.values()), tokenizer, 1000)}
    named: list[list[list[int]]] = [[] for _ in learnt]
    for row in table.to_pylist():
        assert row["document_id"] == pairs[row["name"]]["document_id"]
        named[row["step"] - 1].append(ids[row["name"]])
    assert [sorted(batch) for batch in named] == learnt
    assert table.num_rows == tiny_finetuning.epochs * len(pairs)


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

    assert trace_documents(train, validation, steps, {"1", "3"}) == (
        TracedPair("a", "1", "validation", ()),
        TracedPair("b", "1", "train", (1, 4)),
        TracedPair("long", "1", "train", ()),
    )
    assert trace_documents(train, validation, [], {"2"}) == (
        TracedPair("c", "2", "train", ()),
        TracedPair("d", "2", "validation", ()),
    )
    assert reads_by_document(train, steps) == {"1": 2, "2": 1}
    assert reads_by_document(train, []) == {"1": 2, "2": 1}
    assert trace_documents(train, validation, steps, {"3"}) == ()
