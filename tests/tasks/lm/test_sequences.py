"""Batches as a pure function of (seed, step), and bits per byte by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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


def test_processes_share_what_the_first_laid_out(write_sequences: Write, tmp_path: Path) -> None:
    paths, scratch = write_sequences([[row, 1, 2] for row in range(5)]), tmp_path / "rows"
    first = Sequences(paths, 3, scratch)
    (laid_out,) = scratch.glob("*.rows")
    laid_out.with_suffix(".part").write_bytes(b"of a process that was killed")
    written = laid_out.stat().st_mtime_ns
    second = Sequences(paths, 3, scratch)
    assert laid_out.stat().st_mtime_ns == written
    assert (len(second), second.num_targets) == (len(first), first.num_targets) == (5, 10)
    for one, other in zip(first[0:5], second[0:5], strict=True):
        assert torch.equal(one, other)
    assert len(Sequences(paths, 4, scratch)[0:1][0][0]) == 4  # another width is another file
