"""Batches as a pure function of (seed, step), and bits per byte by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.lm.distributed.world import World
from tasks.lm.loop import bits_per_byte
from tasks.lm.models.decoder import Decoder, init_weights
from tasks.lm.sequences import IGNORED, Sequences

Write = Callable[[Sequence[Sequence[int]]], list[Path]]


def _numbered(write: Write, count: int) -> Sequences:
    """Rows that begin with their own number."""
    return Sequences(write([[row, 200, 201, 202] for row in range(count)]), length=3)


def _rows(sequences: Sequences, seed: int, step: int, size: int) -> list[int]:
    ids, _ = sequences.batch(seed, step, size)
    return [int(row) for row in ids[:, 0]]


@settings(
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    count=st.integers(1, 11),
    size=st.integers(1, 25),
    seed=st.integers(0, 2**32),
    epochs=st.integers(1, 3),
)
def test_every_epoch_has_every_row_once(
    write_sequences: Write, count: int, size: int, seed: int, epochs: int
) -> None:
    sequences = _numbered(write_sequences, count)
    num_steps = math.ceil(epochs * count / size)
    steps = list(range(num_steps))
    order = [row for step in steps for row in _rows(sequences, seed, step, size)]
    for epoch in range(epochs):
        assert sorted(order[epoch * count : (epoch + 1) * count]) == list(range(count))

    fresh = _numbered(write_sequences, count)  # no memory: any step, in any order, again
    backwards = {step: _rows(fresh, seed, step, size) for step in reversed(steps)}
    assert [row for step in steps for row in backwards[step]] == order


def test_seeds_and_epochs_differ(write_sequences: Write) -> None:
    sequences = _numbered(write_sequences, 50)
    orders = [_rows(sequences, seed, step, 50) for seed in (0, 1) for step in (0, 1)]
    assert len({tuple(order) for order in orders}) == 4


def test_short_rows_are_padded_with_targets_that_do_not_count(write_sequences: Write) -> None:
    sequences = Sequences(write_sequences([[5, 6, 7, 8], [9, 10], [11], [0, 0, 1]]), length=3)
    assert (len(sequences), sequences.num_targets) == (4, 3 + 1 + 0 + 2)
    ids, targets = sequences[0:4]
    assert ids.tolist() == [[5, 6, 7], [9, 10, 0], [11, 0, 0], [0, 0, 1]]
    gap = IGNORED
    assert targets.tolist() == [[6, 7, 8], [10, gap, gap], [gap] * 3, [0, 1, gap]]
    assert (ids.dtype, targets.dtype) == (torch.int64, torch.int64)
    assert int((targets >= 0).sum()) == sequences.num_targets


@pytest.mark.parametrize("size", [1, 3, 4, 9])
@pytest.mark.parametrize("num_ranks", [1, 2, 5])
def test_every_row_is_scored_once(
    write_sequences: Write, monkeypatch: pytest.MonkeyPatch, size: int, num_ranks: int
) -> None:
    sequences = _numbered(write_sequences, 7)
    seen: list[int] = []

    def loss(rows: slice) -> torch.Tensor:
        ids = sequences[rows][0][:, 0].tolist()
        assert 1 <= len(ids) <= size
        seen.extend(ids)
        return torch.tensor(0.0)

    for rank in range(num_ranks):
        world = World(rank, num_ranks)
        monkeypatch.setattr(world, "sum", lambda value: value)  # the others are not there
        bits_per_byte(loss, len(sequences), "sequences", 1, size, world)
    assert sorted(seen) == list(range(7))


def _score(model: Decoder, sequences: Sequences, num_bytes: int, batch_size: int = 16) -> float:
    def loss(rows: slice) -> torch.Tensor:
        return model.summed_loss(*sequences[rows], torch.float32)

    return bits_per_byte(loss, len(sequences), "sequences", num_bytes, batch_size)


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
