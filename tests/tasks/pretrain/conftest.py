"""A corpus that a tiny model learns in seconds: most tokens follow from the one before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage.parquet import shard_name, write_rows
from storage.records import sequence_schema
from storage.workspace import Workspace
from tasks.lm import loop
from tasks.pretrain.config import PretrainConfig
from tasks.pretrain.train import Pretraining, TrainingData
from tasks.tokenizer.config import SMALLEST_VOCABULARY, TokenizerConfig
from tasks.tokenizer.train import save_tokenizer, train_tokenizer
from tests.tasks.lm.conftest import one_thread  # noqa: F401

LENGTH, NUM_WORDS = 24, 30


def pretrain(config: PretrainConfig, data: TrainingData, snapshots: Path) -> Pretraining:
    """Train to the end, from what there is in `snapshots` on."""
    training = Pretraining(config, data)
    training.run(snapshots)
    return training


@pytest.fixture(scope="session")
def pretrain_data(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    """Shards as the shard stage leaves them: equally frequent tokens, nine of ten predictable."""
    root = tmp_path_factory.mktemp("shards")
    workspace = Workspace(root)
    random = np.random.default_rng(0)
    follows = random.permutation(NUM_WORDS)
    schema = sequence_schema(SMALLEST_VOCABULARY)

    def rows(count: int) -> list[dict[str, list[int]]]:
        made = random.integers(NUM_WORDS, size=(count, LENGTH + 1))
        for column in range(LENGTH):
            kept = random.random(count) < 0.9
            made[kept, column + 1] = follows[made[kept, column]]
        lengths = [LENGTH + 1] * (count - 1) + [LENGTH // 2]  # the end of a shard is short
        return [
            {"input_ids": (row[:n] + 10).tolist(), "spans": []}
            for row, n in zip(made, lengths, strict=True)
        ]

    for index in range(2):
        write_rows(workspace, shard_name("train", index, 2), rows(30), schema)
    write_rows(workspace, shard_name("validation", 0, 1), rows(8), schema)
    tokenizer = root / "tokenizer"
    tokenizer.mkdir()
    config = TokenizerConfig(vocab_size=SMALLEST_VOCABULARY)
    save_tokenizer(train_tokenizer(["a b c"], config), tokenizer)
    return TrainingData(
        [workspace.data / shard_name("train", index, 2) for index in range(2)],
        [workspace.data / shard_name("validation", 0, 1)],
        validation_bytes=7 * LENGTH + LENGTH // 2 - 1,  # as if each target were one byte
        sequence_length=LENGTH,
        tokenizer=tokenizer,
    )


@pytest.fixture
def tiny_pretraining() -> PretrainConfig:
    """Twenty steps of four sequences."""
    return PretrainConfig.model_validate(
        {
            "model": {
                "kind": "qwen3",
                "num_layers": 1,
                "hidden_size": 16,
                "intermediate_size": 24,
                "num_heads": 2,
                "num_kv_heads": 1,
                "head_dim": 8,
            },
            "tokens": 20 * 4 * LENGTH,
            "batch_sequences": 4,
            "checkpoint_steps": 3,
            "compute": {"device": "cpu", "precision": "fp32", "threads": 1},
        }
    )


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    return tmp_path / "snapshots"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each step that is taken."""
    taken: list[int] = []
    take_step = loop.take_step

    def counted(*args: Any, **knobs: Any) -> tuple[float, float]:
        taken.append(1)
        return take_step(*args, **knobs)

    monkeypatch.setattr(loop, "take_step", counted)
    return taken
