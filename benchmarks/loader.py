"""Batches out of more tokens than fit in memory, and the order of their rows, beside litdata.

`python -m benchmarks.loader --peer PYTHON`, PYTHON being one that has litdata (`python -m venv lit
&& lit/bin/pip install litdata`). 10 GB of made-up ids, 4,880,000 rows of 1 025 in two bytes each,
need 12 GB of free disk; `--rows` takes fewer. They are a file of Parquet that is listed twelve
times. Batches have 16 rows. Each figure is taken in a process of its own, by CPU seconds.

The peer reads the export of one of the twelve files (`phusa export --form litdata`), blocks of
1 025 ids in chunks that are shuffled, with its own loader, in the process that asks. The ids that
it gives are compared with ours first.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.ledger import record
from storage.records import sequence_schema
from tasks.lm.order import DrawnOrder, Order

COMMAND = "python -m benchmarks.loader --peer PYTHON"
_LENGTH, _BATCH, _FILES, _STEPS = 1024, 16, 12, 20_000
_AFTER_STEPS = 10**6


def cpu_seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def made_up(path: Path, num_rows: int) -> None:
    """Write rows as the shard stage does: an end of text, and a document of one row."""
    random, schema = np.random.default_rng(0), sequence_schema(1 << 15)
    with pq.ParquetWriter(path, schema, compression="zstd", compression_level=3) as writer:
        for first in range(0, num_rows, 8192):
            count = min(8192, num_rows - first)
            ids = random.integers(1, 1 << 15, (count, _LENGTH + 1), np.uint16)
            ids[:, 0] = 0
            offsets = pa.array(np.arange(count + 1, dtype=np.int32) * (_LENGTH + 1))
            rows = pa.ListArray.from_arrays(offsets, pa.array(ids.reshape(-1)))
            names = [f"{number:032x}" for number in range(first, first + count)]
            spans = [[{"document_id": n, "start": 1, "end": _LENGTH + 1}] for n in names]
            table = pa.table([rows, pa.array(spans, schema.field("spans").type)], schema=schema)
            writer.write_table(table)


def memory(name: str) -> int:
    """A figure of this process in bytes: VmRSS, what is resident, or VmHWM, the most so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024


def measure(folder: Path) -> dict[str, float]:
    """Lay all rows out and read batches."""
    import torch

    from tasks.lm.sequences import Sequences

    torch.set_num_threads(1)
    before, began = memory("VmRSS"), time.process_time()
    sequences = Sequences([folder / "0.parquet"] * _FILES, _LENGTH, folder / "scratch")
    opened = time.process_time() - began
    began = time.process_time()
    for step in range(_STEPS):
        sequences.batch(0, step, _BATCH)
    took = time.process_time() - began
    grown = memory("VmHWM") - before
    rate = _STEPS * _BATCH * _LENGTH / took
    return {"rows": len(sequences), "opened": opened, "rate": rate, "grown": grown}


def resume(folder: Path) -> dict[str, float]:
    """Open what is laid out, and read the batch of a late step."""
    from tasks.lm.sequences import Sequences

    began = time.perf_counter()
    sequences = Sequences([folder / "0.parquet"] * _FILES, _LENGTH, folder / "scratch")
    sequences.batch(0, _AFTER_STEPS, _BATCH)
    return {"took": time.perf_counter() - began}


def in_child(python: str, *words: str | Path) -> dict[str, float]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [python, *map(str, words)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def export_for_litdata(folder: Path) -> None:
    """Export the file as `phusa export --form litdata` does."""
    from tasks.artifacts.token_files import write

    (folder / "litdata").mkdir()
    artifact: Any = SimpleNamespace(
        files=lambda place: [folder / "0.parquet"] if place == "train/" else []
    )
    write(artifact, "litdata", folder / "litdata")


def loading(folder: Path, num_rows: int, peer: str) -> None:
    """Record what a batch costs, beside the peer, and how soon a run goes on."""
    made_up(folder / "0.parquet", num_rows // _FILES)
    here = (sys.executable, "-m", "benchmarks.loader", "--folder", folder)
    ours = in_child(*here, "--measure")
    resumed = in_child(*here, "--resume")
    export_for_litdata(folder)
    script = Path(__file__).parent / "loader_peer.py"
    theirs = in_child(peer, script, folder / "litdata" / "train", str(_BATCH), str(_LENGTH + 1))
    record(
        "loader",
        f"batches of {_BATCH} x {_LENGTH} out of {ours['rows']:,.0f} rows, laid out in "
        f"{ours['opened']:.0f} CPU s: tokens a CPU second, memory that it took; peer: litdata "
        f"{theirs['version']} on a twelfth of them",
        f"{ours['rate'] / 1e6:.0f} M, {ours['grown'] / 1e6:.0f} MB",
        f"{theirs['rate'] / 1e6:.0f} M, {theirs['grown'] / 1e6:.0f} MB",
        f"{ours['rate'] / theirs['rate']:.1f}x",
        COMMAND,
    )
    record(
        "loader, resumed",
        f"from the start of a process to the batch of step {_AFTER_STEPS:,}, imports apart",
        f"{resumed['took'] * 1e3:.0f} ms",
        "-",
        "-",
        COMMAND,
    )


def order() -> None:
    """Record what the order of a batch costs."""
    keyed, drawn = Order(0, _BATCH, 10**9), DrawnOrder(0, _BATCH, 10**7)
    ours = cpu_seconds(lambda: [keyed.rows(step) for step in range(2_000)]) / 2_000
    theirs = cpu_seconds(lambda: [drawn.rows(step) for step in range(3)]) / 3
    record(
        "order of rows",
        f"the rows of a batch of {_BATCH} among 10^9; peer: a permutation of 10^7, drawn anew",
        f"{ours * 1e6:.0f} µs",
        f"{theirs * 1e3:.0f} ms",
        f"{theirs / ours:,.0f}x",
        COMMAND,
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--peer")
    parser.add_argument("--rows", type=int, default=4_880_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--resume", action="store_true")
    given = parser.parse_args()
    if given.measure or given.resume:
        print(json.dumps((measure if given.measure else resume)(given.folder)))
        return
    order()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        loading(Path(folder), given.rows, given.peer)


if __name__ == "__main__":
    main()
