"""Token sequences from Parquet, as batches that are a pure function of (seed, step)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from storage.parquet import read_tables
from tasks.lm.order import Order

IGNORED = -100


class Sequences:
    """Rows of at most `length` + 1 ids; shorter rows are padded with targets that do not count."""

    def __init__(self, paths: Sequence[Path], length: int) -> None:
        self.length = length
        rows = [ids.values.to_numpy() for table in read_tables(paths) for ids in table["input_ids"]]
        self._ids = np.full((len(rows), length + 1), IGNORED, dtype=np.int32)
        for row, ids in zip(self._ids, rows, strict=True):
            row[: len(ids)] = ids

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def num_targets(self) -> int:
        return int((self._ids[:, 1:] >= 0).sum())

    def batch(self, seed: int, step: int, batch_size: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets, each (batch_size, length), of a training step counted from 0."""
        return self._tensors(self._ids[Order(seed, batch_size, len(self)).rows(step)])

    def __getitem__(self, rows: slice) -> tuple[Tensor, Tensor]:
        """Inputs and targets of some rows, in order."""
        return self._tensors(self._ids[rows])

    @staticmethod
    def _tensors(rows: npt.NDArray[np.int32]) -> tuple[Tensor, Tensor]:
        window = torch.from_numpy(rows.astype(np.int64))
        return window[:, :-1].clamp_min(0), window[:, 1:].contiguous()
