"""The order in which training reads its rows: a pure function of seed and step. No torch here, so
that a trace can ask it the other way round."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import isqrt

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

_ROUNDS = 6  # with 4, rows of 5 or 16 do not come evenly to every place (tests/tasks/lm)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_HALF = np.uint64(32)


@dataclass(frozen=True)
class Order:
    """Every epoch has its own order of the rows; a batch may reach from one epoch into the next.

    Steps count from 0. An epoch's order is a keyed bijection: any part of it costs no more than its
    own length, in both directions, where a permutation that is drawn anew costs the number of rows
    (890 ms for 10^7). A Feistel network over pairs of numbers below the root of the number of rows:
    https://doi.org/10.1007/3-540-45760-7_9 (Black and Rogaway, Ciphers with arbitrary finite
    domains). Its round function is the mixing of SplitMix64.
    """

    seed: int
    batch_size: int
    num_rows: int

    def rows(self, step: int) -> Rows:
        """The rows (batch_size) of a step, in the order of the batch."""
        positions = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        epochs, places = np.divmod(positions, self.num_rows)
        if epochs[0] == epochs[-1]:
            return self._rows_at(int(epochs[0]), places)
        rows = np.empty(self.batch_size, dtype=np.int64)
        for epoch in np.unique(epochs):
            rows[epochs == epoch] = self._rows_at(int(epoch), places[epochs == epoch])
        return rows

    def steps(self, rows: Rows, num_steps: int) -> Rows:
        """For each of `rows` (R) and each epoch the step that reads it: (epochs, R).

        -1 where the run of `num_steps` ends before.
        """
        total = num_steps * self.batch_size
        epochs = -(-total // self.num_rows)
        found = np.empty((epochs, len(rows)), dtype=np.int64)
        for epoch in range(epochs):
            positions = epoch * self.num_rows + self._places_of(epoch, rows)
            found[epoch] = np.where(positions < total, positions // self.batch_size, -1)
        return found

    def times_read(self, num_steps: int) -> Rows:
        """How often each row (num_rows) is read in `num_steps`."""
        epochs, rest = divmod(num_steps * self.batch_size, self.num_rows)
        times = np.full(self.num_rows, epochs, dtype=np.int64)
        times[self._rows_at(epochs, np.arange(rest))] += 1
        return times

    def _rows_at(self, epoch: int, places: Rows) -> Rows:
        """The rows that stand at these places of an epoch."""
        return self._walk(places, _keys(self.seed, epoch), backwards=False)

    def _places_of(self, epoch: int, rows: Rows) -> Rows:
        """The places at which these rows stand in an epoch."""
        return self._walk(rows, _keys(self.seed, epoch), backwards=True)

    def _walk(self, values: Rows, keys: Words, *, backwards: bool) -> Rows:
        """Take numbers through the network until each is one of a row."""
        side = np.uint64(isqrt(self.num_rows - 1) + 1)  # of a square that has room for all rows
        found = _feistel(values.astype(np.uint64), side, keys, backwards)
        while (outside := found >= self.num_rows).any():
            found[outside] = _feistel(found[outside], side, keys, backwards)
        return found.astype(np.int64)


@lru_cache(maxsize=4)
def _keys(seed: int, epoch: int) -> Words:
    return np.random.SeedSequence((seed, epoch)).generate_state(_ROUNDS, np.uint64).view(np.uint64)


def _feistel(values: Words, side: np.uint64, keys: Words, backwards: bool) -> Words:
    left, right = np.divmod(values, side)
    if backwards:
        for key in keys[::-1]:
            left, right = (right + side - _mixed(left, key, side)) % side, left
    else:
        for key in keys:
            left, right = right, (left + _mixed(right, key, side)) % side
    return left * side + right


def _mixed(values: Words, key: np.uint64, side: np.uint64) -> Words:
    mixed = (values ^ key) * _MIX_1
    mixed ^= mixed >> _HALF
    mixed *= _MIX_2
    return (mixed >> _HALF) % side


class DrawnOrder(Order):
    """The order of trainings before version 2 of their stage: each epoch a permutation by numpy."""

    def _rows_at(self, epoch: int, places: Rows) -> Rows:
        return self._permutation(epoch)[places]

    def _places_of(self, epoch: int, rows: Rows) -> Rows:
        return np.argsort(self._permutation(epoch))[rows]

    def _permutation(self, epoch: int) -> Rows:
        return np.random.default_rng((self.seed, epoch)).permutation(self.num_rows)
