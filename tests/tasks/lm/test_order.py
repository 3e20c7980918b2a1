"""The order of the rows and its inverse, against what `Sequences.batch` feeds to a model."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.lm.order import Order
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


def test_no_torch() -> None:
    script = "import sys, tasks.lm.order; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
