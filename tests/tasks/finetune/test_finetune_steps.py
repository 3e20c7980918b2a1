"""The steps that a run records are those it took."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from storage.records import STEP
from storage.workspace import Workspace
from tasks.finetune import train as stage
from tasks.finetune.config import FinetuneConfig
from tasks.finetune.instructions import STEPS, Example, encode_pairs, tabulate_steps
from tasks.finetune.train import FinetuneData, Finetuning
from tasks.lm.tokens import TextEncoder


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
    loss = stage.Finetuning._summed_loss

    def recorded(run: Any, examples: list[Example]) -> torch.Tensor:
        if torch.is_grad_enabled():
            learnt.append(sorted(example.ids for example in examples))
        return loss(run, examples)

    monkeypatch.setattr(stage.Finetuning, "_summed_loss", recorded)
    tuning, workspace = Finetuning(tiny_finetuning, finetune_data), Workspace(tmp_path)
    tuning.run(tmp_path / "snapshots")
    tuning.write(workspace)
    table = pq.read_table(workspace.data / STEPS)

    encoder = TextEncoder.load(finetune_data.base)
    pairs = {row["name"]: row for row in pq.read_table(finetune_data.train).to_pylist()}
    ids = {e.name: e.ids for e in encode_pairs(list(pairs.values()), encoder, 1000)}
    named: list[list[list[int]]] = [[] for _ in learnt]
    for row in table.to_pylist():
        assert row["document_id"] == pairs[row["name"]]["document_id"]
        named[row["step"] - 1].append(ids[row["name"]])
    assert [sorted(batch) for batch in named] == learnt
    assert table.num_rows == tiny_finetuning.epochs * len(pairs)
