"""Bits per byte: of every row once, by hand, and shared out among ranks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from tasks.lm.distributed.world import World
from tasks.lm.loop import Batch, bits_per_byte
from tasks.lm.models.decoder import Decoder, init_weights
from tasks.lm.sequences import Sequences
from tasks.pretrain.train import batch_of

Write = Callable[[Sequence[Sequence[int]]], list[Path]]


@pytest.mark.parametrize("size", [1, 3, 4, 9])
@pytest.mark.parametrize("num_ranks", [1, 2, 5])
def test_every_row_is_scored_once(
    write_sequences: Write, monkeypatch: pytest.MonkeyPatch, size: int, num_ranks: int
) -> None:
    sequences = Sequences(write_sequences([[row, row] for row in range(7)]), length=1)
    seen: list[int] = []

    def loss(rows: slice) -> torch.Tensor:
        ids = sequences[rows][0][:, 0].tolist()
        assert 1 <= len(ids) <= size
        seen.extend(ids)
        return torch.tensor(0.0)

    rows = Batch(len(sequences), len(sequences), lambda _: 1, loss)

    for rank in range(num_ranks):
        world = World(rank, num_ranks)
        monkeypatch.setattr(world, "sum", lambda value: value)  # the others are not there
        bits_per_byte(rows, "sequences", 1, size, world)
    assert sorted(seen) == list(range(7))


def _score(model: Decoder, sequences: Sequences, num_bytes: int, batch_size: int = 16) -> float:
    rows = batch_of(model, *sequences[:], torch.float32)
    return bits_per_byte(rows, "sequences", num_bytes, batch_size)


def test_a_silent_model_needs_log_v_bits_for_each_target(
    write_sequences: Write, make_model: Callable[..., Decoder]
) -> None:
    model = make_model()
    init_weights(model, seed=0)  # the zero head makes every token equally likely
    sequences = Sequences(write_sequences([[5, 6, 7, 8], [9, 10], [11, 1, 2, 3]]), length=3)
    expected = 7 * math.log2(model.vocab_size) / 20
    assert _score(model, sequences, 20) == pytest.approx(expected, rel=1e-6)


@torch.no_grad()
def test_bits_per_byte_by_hand(write_sequences: Write, make_model: Callable[..., Decoder]) -> None:
    model = make_model()
    rows = [[5, 6, 7, 8], [9, 10], [11, 1, 2, 3], [4, 250, 4]]
    sequences = Sequences(write_sequences(rows), length=3)
    bits = 0.0
    for row in rows:
        logits = model(torch.tensor([row[:-1]]))[0].double().numpy()
        shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        bits -= sum(math.log2(shares[i, row[i + 1]]) for i in range(len(row) - 1))
    for batch_size in (1, 3, 16):
        found = _score(model, sequences, 31, batch_size)
        assert found == pytest.approx(bits / 31, rel=1e-5)
