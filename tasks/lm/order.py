"""The order in which training reads its rows: a pure function of seed and step. No torch here, so
that a trace can ask it the other way round."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Order:
    """Every epoch has its own permutation; a batch may reach from one epoch into the next.

    Steps count from 0.
    """

    seed: int
    batch_size: int
    num_rows: int

    def rows(self, step: int) -> Rows:
        """The rows (batch_size) of a step, in the order of the batch."""
        positions = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        rows = np.empty(self.batch_size, dtype=np.int64)
        for epoch in np.unique(positions // self.num_rows):
            inside = positions // self.num_rows == epoch
            rows[inside] = self._permutation(int(epoch))[positions[inside] % self.num_rows]
        return rows

    def steps(self, rows: Rows, num_steps: int) -> Rows:
        """For each of `rows` (R) and each epoch the step that reads it: (epochs, R).

        -1 where the run of `num_steps` ends before.
        """
        total = num_steps * self.batch_size
        epochs = -(-total // self.num_rows)
        found = np.empty((epochs, len(rows)), dtype=np.int64)
        place = np.empty(self.num_rows, dtype=np.int64)
        for epoch in range(epochs):
            place[self._permutation(epoch)] = np.arange(self.num_rows)
            positions = epoch * self.num_rows + place[rows]
            found[epoch] = np.where(positions < total, positions // self.batch_size, -1)
        return found

    def times_read(self, num_steps: int) -> Rows:
        """How often each row (num_rows) is read in `num_steps`."""
        epochs, rest = divmod(num_steps * self.batch_size, self.num_rows)
        times = np.full(self.num_rows, epochs, dtype=np.int64)
        times[self._permutation(epochs)[:rest]] += 1
        return times

    def _permutation(self, epoch: int) -> Rows:
        return np.random.default_rng((self.seed, epoch)).permutation(self.num_rows)
