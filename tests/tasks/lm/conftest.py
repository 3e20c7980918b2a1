"""A tiny tokenizer, tiny shapes and token sequences for the tests of the modelling library."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from storage.parquet import write_rows
from storage.records import sequence_schema
from storage.workspace import Workspace
from tasks.lm.models import Qwen3
from tasks.lm.models.decoder import Decoder
from tasks.lm.models.shape import DecoderShape
from tasks.tokenizer.config import TokenizerConfig
from tasks.tokenizer.train import save_tokenizer, train_tokenizer

VOCABULARY = 280


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def lm_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer folder as the tokenizer stage leaves it."""
    folder = tmp_path_factory.mktemp("tokenizer")
    texts = ["the heap is a tree, and the tree is a list of the items of the heap"] * 3
    save_tokenizer(train_tokenizer(texts, TokenizerConfig(vocab_size=VOCABULARY)), folder)
    return folder


@pytest.fixture
def make_model() -> Callable[..., Decoder]:
    """Build a small decoder with random weights everywhere: in gains and zero-initialised ends too.

    No knob of the shape has transformers' default, so that each has to travel through config.json.
    """

    def make(
        member: type[DecoderShape] = Qwen3, seed: int = 0, context: int = 48, **knobs: Any
    ) -> Decoder:
        shape = {
            "num_layers": 2,
            "hidden_size": 32,
            "intermediate_size": 40,
            "num_heads": 4,
            "num_kv_heads": 4,
            "head_dim": 10,
            "rope_theta": 321.0,
            "norm_eps": 1e-3,
        }
        model = Decoder(member(**{**shape, **knobs}), VOCABULARY, context)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_(mean=float(parameter.ndim == 1), std=0.3, generator=generator)
        return model.eval()

    return make


@pytest.fixture
def write_sequences(tmp_path: Path) -> Callable[[Sequence[Sequence[int]]], list[Path]]:
    """Write rows of ids as the shard stage does, in two files."""

    def write(rows: Sequence[Sequence[int]]) -> list[Path]:
        workspace = Workspace(tmp_path / "sequences")
        schema, half = sequence_schema(VOCABULARY), len(rows) // 2
        for name, part in (("a.parquet", rows[:half]), ("b.parquet", rows[half:])):
            records = [{"input_ids": list(ids), "spans": []} for ids in part]
            write_rows(workspace, name, records, schema)
        return [workspace.data / "a.parquet", workspace.data / "b.parquet"]

    return write
