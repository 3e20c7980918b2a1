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
from storage.parquet import streamed
from tasks.lm.order import Order

IGNORED = -100
_HEAD = np.dtype([("num_targets", "<u8"), ("id_bytes", "<u8")])
_READ_IDS = 1 << 20  # of Parquet at once, on the way to the scratch file


class Sequences:
    """Rows of at most `length` + 1 ids; shorter rows are padded with targets that do not count.

    The rows are laid out once in a file, one beside the other, and read from there by their places:
    memory does not grow with them, and any row costs the same. Batches of 16 x 1 024 come at 160 M
    tokens a CPU second; out of Arrow that is memory-mapped, a second copy too, at 81 M, and what
    was read stays resident. A row of a Parquet file in place costs its row group, 0.2 s. Laying out
    takes a second for 88 M ids. benchmarks/loader.py has 10 GB of them.
    """

    def __init__(self, paths: Sequence[Path], length: int, scratch: Path | None = None) -> None:
        """Lay the rows out in the folder `scratch`, where all processes of a training find them, or
        in a temporary file of this process."""
        self.length = length
        self._file = _laid_out(paths, length + 1, scratch)
        weakref.finalize(self, self._file.close)
        head = np.frombuffer(os.pread(self._file.fileno(), _HEAD.itemsize, 0), _HEAD)[0]
        self.num_targets, self._row = int(head["num_targets"]), _row(length + 1, head["id_bytes"])
        num_bytes = os.fstat(self._file.fileno()).st_size - _HEAD.itemsize
        self._count = num_bytes // self._row.itemsize

    def __len__(self) -> int:
        return self._count

    def batch(self, seed: int, step: int, batch_size: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets, each (batch_size, length), of a training step counted from 0."""
        rows = np.empty(batch_size, dtype=self._row)
        for at, number in enumerate(Order(seed, batch_size, len(self)).rows(step).tolist()):
            self._read(rows[at : at + 1], number)
        return self._tensors(rows)

    def __getitem__(self, rows: slice) -> tuple[Tensor, Tensor]:
        """Inputs and targets of some rows, in order."""
        start, stop, _ = rows.indices(len(self))
        found = np.empty(max(0, stop - start), dtype=self._row)
        self._read(found, start)
        return self._tensors(found)

    def _read(self, into: npt.NDArray[np.void], first: int) -> None:
        """Read as many rows as there is room for, from the row `first` on."""
        at = _HEAD.itemsize + first * self._row.itemsize
        read = os.preadv(self._file.fileno(), [into.data], at)
        assert read == into.nbytes, f"{read} bytes at {at}, expected {into.nbytes}"

    def _tensors(self, rows: npt.NDArray[np.void]) -> tuple[Tensor, Tensor]:
        ids, targets = (
            torch.from_numpy(rows["ids"][:, part].astype(np.int64))
            for part in (slice(-1), slice(1, None))
        )
        sizes = torch.from_numpy(rows["size"].astype(np.int64))
        if (sizes <= self.length).any():
            targets[torch.arange(1, self.length + 1) >= sizes[:, None]] = IGNORED
        return ids, targets


def _row(width: int, id_bytes: int) -> np.dtype[np.void]:
    """Give what one row is in the file: how many ids it has, and room for all."""
    return np.dtype([("size", "<u4"), ("ids", f"<u{id_bytes}", (width,))])


def _laid_out(paths: Sequence[Path], width: int, scratch: Path | None) -> IO[bytes]:
    """Open the file of all rows; the first process that wants it writes it."""
    if scratch is None:
        file = TemporaryFile()  # noqa: SIM115 (its owner closes it)
        _lay_out(paths, width, file)
        return file
    scratch.mkdir(parents=True, exist_ok=True)
    name = sha256("\n".join((str(_row(width, 2)), *map(str, paths))).encode()).hexdigest()[:16]
    whole, begun = scratch / f"{name}.rows", scratch / f"{name}.part"
    with FileLock(scratch / f"{name}.lock"), os_errors_named(scratch):
        if not whole.exists():
            with begun.open("wb") as part:
                _lay_out(paths, width, part)
            begun.replace(whole)
    return whole.open("rb")


def _lay_out(paths: Sequence[Path], width: int, file: IO[bytes]) -> None:
    """Write what all rows have, and the rows; ids are as wide as in the files."""
    head = np.zeros(1, _HEAD)
    types = [pq.read_schema(path).field("input_ids").type.value_type for path in paths]
    head["id_bytes"] = max((kind.bit_width // 8 for kind in types), default=2)
    file.write(head.data)
    for path in paths:
        with streamed(path) as source:
            for batch in source.iter_batches(max(1, _READ_IDS // width), columns=["input_ids"]):
                sizes = np.diff(batch["input_ids"].offsets.to_numpy())
                rows = np.zeros(len(sizes), dtype=_row(width, head["id_bytes"][0]))
                rows["size"] = sizes
                ids = batch["input_ids"].flatten().to_numpy()
                rows["ids"][np.arange(width) < sizes[:, None]] = ids
                file.write(rows.data)
                head["num_targets"] += int(np.maximum(sizes - 1, 0).sum())
    file.seek(0)
    file.write(head.data)
    file.flush()
