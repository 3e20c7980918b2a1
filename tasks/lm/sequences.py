"""Token sequences from Parquet, as batches that are a pure function of (seed, step)."""

from __future__ import annotations

import os
import weakref
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import torch
from filelock import FileLock
from torch import Tensor

from storage.errors import os_errors_named
from tasks.lm.order import Order

IGNORED = -100
_HEAD_BYTES, _ID_BYTES = 8, 4
_READ_ROWS = 4096  # of Parquet at once, on the way to the scratch file


class Sequences:
    """Rows of at most `length` + 1 ids; shorter rows are padded with targets that do not count.

    The rows are laid out once in a file, one beside the other in four bytes an id, and read from
    there by their places: memory does not grow with them, and any row costs the same.
    """

    def __init__(self, paths: Sequence[Path], length: int, scratch: Path | None = None) -> None:
        """Lay the rows out in the folder `scratch`, where all processes of a training find them, or
        in a temporary file of this process."""
        self.length, self._width = length, length + 1
        self._file = _laid_out(paths, self._width, scratch)
        weakref.finalize(self, self._file.close)
        self.num_targets = int.from_bytes(os.pread(self._file.fileno(), _HEAD_BYTES, 0), "little")
        num_bytes = os.fstat(self._file.fileno()).st_size - _HEAD_BYTES
        self._count = num_bytes // (self._width * _ID_BYTES)

    def __len__(self) -> int:
        return self._count

    def batch(self, seed: int, step: int, batch_size: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets, each (batch_size, length), of a training step counted from 0."""
        rows = np.empty((batch_size, self._width), dtype=np.int32)
        for row, number in zip(rows, Order(seed, batch_size, len(self)).rows(step), strict=True):
            self._read(row, int(number))
        return self._tensors(rows)

    def __getitem__(self, rows: slice) -> tuple[Tensor, Tensor]:
        """Inputs and targets of some rows, in order."""
        start, stop, _ = rows.indices(len(self))
        found = np.empty((max(0, stop - start), self._width), dtype=np.int32)
        self._read(found, start)
        return self._tensors(found)

    def _read(self, into: npt.NDArray[np.int32], first: int) -> None:
        """Read as many rows as there is room for, from the row `first` on."""
        at = _HEAD_BYTES + first * self._width * _ID_BYTES
        read = os.preadv(self._file.fileno(), [into.data], at)
        assert read == into.nbytes, f"{read} bytes at {at}, expected {into.nbytes}"

    @staticmethod
    def _tensors(rows: npt.NDArray[np.int32]) -> tuple[Tensor, Tensor]:
        window = torch.from_numpy(rows.astype(np.int64))
        return window[:, :-1].clamp_min(0), window[:, 1:].contiguous()


def _laid_out(paths: Sequence[Path], width: int, scratch: Path | None) -> IO[bytes]:
    """Open the file of all rows; the first process that wants it writes it."""
    if scratch is None:
        file = TemporaryFile()  # noqa: SIM115 (its owner closes it)
        _lay_out(paths, width, file)
        return file
    scratch.mkdir(parents=True, exist_ok=True)
    name = sha256("\n".join((str(width), *map(str, paths))).encode()).hexdigest()[:16]
    whole, begun = scratch / f"{name}.rows", scratch / f"{name}.part"
    with FileLock(scratch / f"{name}.lock"), os_errors_named(scratch):
        if not whole.exists():
            with begun.open("wb") as part:
                _lay_out(paths, width, part)
            begun.replace(whole)
    return whole.open("rb")


def _lay_out(paths: Sequence[Path], width: int, file: IO[bytes]) -> None:
    """Write the number of targets, and the rows."""
    num_targets = 0
    file.write(bytes(_HEAD_BYTES))
    for path in paths:
        with pq.ParquetFile(path) as source:
            for batch in source.iter_batches(_READ_ROWS, columns=["input_ids"]):
                offsets, values = batch["input_ids"].offsets.to_numpy(), batch["input_ids"].values
                sizes = np.diff(offsets)
                rows = np.full((len(sizes), width), IGNORED, dtype=np.int32)
                ids = values.to_numpy()[offsets[0] : offsets[-1]]
                rows[np.arange(width) < sizes[:, None]] = ids
                file.write(rows.data)
                num_targets += int(np.maximum(sizes - 1, 0).sum())
    file.seek(0)
    file.write(num_targets.to_bytes(_HEAD_BYTES, "little"))
    file.flush()
