"""Batches as a pure function of (seed, step), and bits per byte by hand."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.parquet import write_rows
from storage.records import sequence_schema
from storage.store import Store
from storage.workspace import Workspace
from tasks.lm.distributed.world import World
from tasks.lm.order import Order
from tasks.lm.sequences import IGNORED, Sequences
from tests.flows.sealed import seal
from tests.tasks.lm.conftest import VOCABULARY

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


@pytest.mark.parametrize("size", [1, 7, 16])
def test_ranks_together_read_the_batch_also_when_their_number_changes(
    write_sequences: Write, tmp_path: Path, size: int
) -> None:
    paths = write_sequences([[row, 200, 201, 202] for row in range(40)])
    alone = Sequences(paths, 3)
    for step, num_ranks in enumerate((1, 2, 3, 8, 2, 3, 1)):  # resumed with another number
        batch = alone.batch(7, step, size)
        ranks = [(World(rank, num_ranks), _ranked(paths, tmp_path)) for rank in range(num_ranks)]
        for part, whole in enumerate(batch):
            read = [rows.batch(7, step, size)[part][world.share(size)] for world, rows in ranks]
            assert torch.equal(torch.cat(read), whole)


def _ranked(paths: list[Path], folder: Path) -> Sequences:
    return Sequences(paths, 3, folder / "rows")


def test_a_late_step_needs_none_before_it(write_sequences: Write) -> None:
    sequences = _numbered(write_sequences, 50)
    began = time.process_time()
    rows = _rows(sequences, 3, 10**6, 16)
    assert time.process_time() - began < 1
    assert rows == Order(3, 16, 50).rows(10**6).tolist()


@pytest.mark.parametrize(("vocab_size", "id_bytes"), [(VOCABULARY, 2), (70_000, 4)])
def test_rows_take_the_bytes_of_their_ids(tmp_path: Path, vocab_size: int, id_bytes: int) -> None:
    rows = [[vocab_size - 1, 7, 8], [9]]
    records = [{"input_ids": ids, "spans": []} for ids in rows]
    write_rows(Workspace(tmp_path), "a.parquet", records, sequence_schema(vocab_size))
    sequences = Sequences([tmp_path / "data" / "a.parquet"], 2, tmp_path / "rows")
    (laid_out,) = (tmp_path / "rows").glob("*.rows")
    assert laid_out.stat().st_size == 16 + 2 * (4 + 3 * id_bytes)
    ids, targets = sequences[0:2]
    assert ids.tolist() == [[vocab_size - 1, 7], [9, 0]]
    assert targets.tolist() == [[7, 8], [IGNORED, IGNORED]]


def test_rows_of_a_store_on_s3(
    s3_bucket: str, write_sequences: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHUSA_CACHE", str(tmp_path / "cache"))
    paths = write_sequences([[row, 1, 2] for row in range(9)])
    files = {f"train/{path.name}": path.read_bytes() for path in paths}
    manifest = seal(tmp_path / "local", "shard", "20261121-01", files)
    remote = Store(f"{s3_bucket}/store")
    for path in (p for p in (tmp_path / "local").rglob("*") if p.is_file()):
        remote.backend.put_file(path.relative_to(tmp_path / "local").as_posix(), path)
    fetched = remote.files(remote.resolve("shard"), "train/")
    assert fetched == remote.files(manifest, "train/"), "once fetched, they lie in the cache"
    assert all(path.is_relative_to(tmp_path / "cache") for path in fetched)
    here, there = Sequences(paths, 2), Sequences(fetched, 2, tmp_path / "rows")
    for step in range(4):
        for one, other in zip(here.batch(0, step, 4), there.batch(0, step, 4), strict=True):
            assert torch.equal(one, other)


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
