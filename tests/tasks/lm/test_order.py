"""The order of the rows and its inverse, against what `Sequences.batch` feeds to a model."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.lm.order import DrawnOrder, Order
from tasks.lm.sequences import Sequences

Write = Callable[[Sequence[Sequence[int]]], list[Path]]
SETTINGS = settings(
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def _fed(write: Write, order: Order, num_steps: int) -> list[list[int]]:
    """The rows of each step as training gets them: each row begins with its own number."""
    rows = [[row, 200, 201, 202] for row in range(order.num_rows)]
    sequences = Sequences(write(rows), length=3)
    batches = (sequences.batch(order.seed, s, order.batch_size)[0] for s in range(num_steps))
    return [batch[:, 0].tolist() for batch in batches]


@SETTINGS
@given(
    order=st.builds(Order, st.integers(0, 2**32), st.integers(1, 25), st.integers(1, 11)),
    num_steps=st.integers(0, 8),
    data=st.data(),
)
def test_the_order_is_that_of_the_batches(
    write_sequences: Write, order: Order, num_steps: int, data: st.DataObject
) -> None:
    fed = _fed(write_sequences, order, num_steps)
    assert [order.rows(step).tolist() for step in range(num_steps)] == fed

    asked = data.draw(st.lists(st.integers(0, order.num_rows - 1), unique=True))
    steps = order.steps(np.array(asked, dtype=np.int64), num_steps)
    for column, row in enumerate(asked):
        found = [step for step in steps[:, column].tolist() if step >= 0]
        assert found == [step for step, rows in enumerate(fed) for each in rows if each == row]

    counts = np.bincount(np.array(fed, dtype=np.int64).ravel(), minlength=order.num_rows)
    assert order.times_read(num_steps).tolist() == counts.tolist()


@pytest.mark.parametrize("num_rows", [1, 2, 3, 5, 16, 100, 101])
def test_every_row_comes_evenly_to_every_place(num_rows: int) -> None:
    draws = 2000
    counts = np.zeros((num_rows, num_rows))
    for seed in range(draws):
        rows = Order(seed, num_rows, num_rows).rows(0)
        counts[np.arange(num_rows), rows] += 1
    assert (counts.sum(1) == draws).all() and (counts.sum(0) == draws).all()  # each row once
    expected = draws / num_rows
    freedom = (num_rows - 1) ** 2
    chi2 = ((counts - expected) ** 2 / expected).sum()
    assert chi2 <= freedom + 5 * (2 * freedom) ** 0.5


def test_neighbours_are_no_more_alike_than_by_chance() -> None:
    count = 100_000
    rows = Order(3, count, count).rows(0)
    assert sorted(rows) == list(range(count))
    for lag in (1, 2, 317):  # the last is a side of the square that rows are laid in
        assert abs(np.corrcoef(rows[:-lag], rows[lag:])[0, 1]) < 5 / count**0.5
    other = Order(3, count, count).rows(1)
    assert abs(np.corrcoef(rows, other)[0, 1]) < 5 / count**0.5
    assert (rows == other).sum() < 10


def _excess(counts: npt.NDArray[np.float64]) -> float:
    """How far counts that should be equal are from it: chi-squared, in standard deviations."""
    expected, freedom = counts.mean(), counts.size - 1
    return float((((counts - expected) ** 2 / expected).sum() - freedom) / (2 * freedom) ** 0.5)


# Sides of squares and their neighbours: just above a square, half of the numbers are walked over.
@pytest.mark.parametrize("count", [10_000, 10_001, 9_999, 65_536, 65_537, 98_304])
def test_the_order_has_no_structure(count: int) -> None:
    """Epochs and seeds that differ in a bit, together and beside each other."""
    orders = [Order(seed, count, count).rows(epoch) for seed in (0, 1, 2, 3) for epoch in range(4)]
    block, window = np.arange(count) * 20 // count, np.zeros((20, 20))
    steps = np.zeros(50)
    for rows in orders:
        np.add.at(window, (block, rows * 20 // count), 1)
        np.add.at(steps, np.diff(rows) % count * 50 // count, 1)
    assert abs(_excess(window)) < 5, "a part of an epoch reads more of a part of the rows"
    assert abs(_excess(steps)) < 5, "from a row to the next there are likelier distances"

    places = np.arange(count)
    fixed = sum(int((rows == places).sum()) for rows in orders)
    followed = sum(int((np.diff(rows) == 1).sum()) for rows in orders)
    pairs = [(a, b) for at, a in enumerate(orders) for b in orders[:at]]
    again = sum(int((a == b).sum()) for a, b in pairs)
    for found, expected in ((fixed, 16), (followed, 16), (again, len(pairs))):  # Poisson
        assert abs(found - expected) < 5 * expected**0.5


def test_batches_among_a_billion_rows_are_drawn_from_all_of_them() -> None:
    count, size = 10**9, 1 << 16
    rows = np.concatenate([Order(seed, size, count).rows(5) for seed in (0, 1)])
    assert len(np.unique(rows)) > 2 * size - 20  # of the two, some 4 are the same
    assert abs(_excess(np.bincount(rows * 256 // count, minlength=256).astype(float))) < 5
    assert abs(_excess(np.bincount(rows % 256, minlength=256).astype(float))) < 5


def test_any_step_of_a_billion_rows_is_found_at_once_both_ways() -> None:
    order = Order(7, 16, 10**9)
    step = 10**9 // 16 * 3 // 2  # in the second epoch
    rows = order.rows(step)
    assert len(set(rows.tolist())) == 16 and rows.min() >= 0 and rows.max() < 10**9
    assert (order.steps(rows, step + 1)[1] == step).all()


def test_the_order_before_was_drawn_by_numpy() -> None:
    order = DrawnOrder(5, 4, 10)
    drawn = [np.random.default_rng((5, epoch)).permutation(10) for epoch in range(2)]
    read = np.concatenate([order.rows(step) for step in range(5)])
    assert read.tolist() == np.concatenate(drawn).tolist()
    for row in range(10):
        steps = order.steps(np.array([row]), 5)[:, 0]
        assert [row in order.rows(step) for step in steps] == [True, True]
    assert order.times_read(3).sum() == 12


def test_no_torch() -> None:
    script = "import sys, tasks.lm.order; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
