"""Documents into rows, and rows whose documents do not see each other.

`python -m benchmarks.packing`. Packing: sections of what stands in Debian's /usr/share/doc
(`benchmarks.tokens.corpus`), one id for four of their bytes; the least of five. Isolation: forward
and backward of the demo's model in fp32, one thread, CPU seconds; both in turn, the least of seven
each; documents with a median of 100 and of 1 500 tokens. The peer is the same step without.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from benchmarks.cpu_training import SHAPE, VOCABULARY
from benchmarks.ledger import record
from benchmarks.tokens import corpus
from storage.records import sequence_schema
from tasks.lm.models.decoder import Decoder, init_weights
from tasks.shard.config import Packing, ShardConfig
from tasks.shard.packing import Packer, fit

COMMAND = "python -m benchmarks.packing"
_END = 0
_TIMES = 7


def _cpu_seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def packing(lengths: list[int], length: int) -> None:
    """Record how full rows are, how much is cut, and how fast it goes."""
    ids = [np.full(of, 7, np.uint32) for of in lengths]
    num_tokens = sum(lengths) + len(lengths)

    def pack(kind: Packing) -> list[pa.Table]:
        packer = Packer(ShardConfig(sequence_length=length, packing=kind), _END)
        for number, of in enumerate(ids):
            packer.add(f"{number:032x}", of)
        return list(packer.tables(sequence_schema(9)))

    def measure(kind: Packing) -> tuple[str, float]:
        tables = pack(kind)
        took = min(_cpu_seconds(partial(pack, kind)) for _ in range(5))
        filled = num_tokens / length / sum(map(len, tables))
        pieces = sum(len(table["spans"].combine_chunks().flatten()) for table in tables)
        return f"{filled:.2%}; {pieces:,}; {num_tokens / took / 1e6:.0f} M", took

    (ours, mine), (peer, theirs) = measure("best_fit"), measure("concatenate")
    record(
        f"packing at {length}",
        f"{len(lengths):,} real documents, {num_tokens / 1e6:.0f} M tokens: positions filled; "
        "pieces of documents; tokens a CPU second; peer: concatenated and cut",
        ours,
        peer,
        f"{theirs / mine:.2f}x",
        COMMAND,
    )


def fitting() -> None:
    """Record what fitting alone costs."""
    sizes = np.random.default_rng(0).integers(1, 2049, 1_000_000)
    took = _cpu_seconds(lambda: fit(sizes, 2048))
    record(
        "best fit",
        "a million documents of 1 to 2 048 tokens into rows of 2 048, documents a CPU second",
        f"{len(sizes) / took / 1e6:.1f} M",
        "-",
        "-",
        COMMAND,
    )


def _batch(rows: int, length: int, median: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1, VOCABULARY, (rows, length), generator=generator)
    lengths = torch.empty(rows * length).log_normal_(math.log(median), 1.0, generator=generator)
    ends = lengths.long().add(2).cumsum(0)
    ids.view(-1)[ends[ends < ids.numel()]] = _END
    return ids, ids.roll(-1, 1)


def isolation(rows: int, length: int) -> None:
    """Record a step with and without isolation."""
    model = Decoder(SHAPE, VOCABULARY, length)
    init_weights(model, 0)
    times: dict[int, dict[int | None, list[float]]] = {}
    for median in (100, 1500):
        ids, targets = _batch(rows, length, median)
        times[median] = {None: [], _END: []}

        def step(end: int | None, ids: Tensor = ids, targets: Tensor = targets) -> None:
            model.zero_grad(set_to_none=True)
            (model.summed_loss(ids, targets, torch.float32, end) / ids.numel()).backward()

        for _ in range(_TIMES):
            for end, taken in times[median].items():
                taken.append(_cpu_seconds(partial(step, end)))
    whole, isolated = ([min(of[end]) for of in times.values()] for end in (None, _END))
    record(
        f"documents isolated at {length}",
        f"forward and backward, fp32, {rows} x {length}, one thread, CPU seconds; documents with a "
        "median of 100 and of 1,500 tokens; peer: the same without isolation",
        " and ".join(f"{of:.3f}" for of in isolated),
        " and ".join(f"{of:.3f}" for of in whole),
        " and ".join(f"{b / a:.2f}x" for a, b in zip(isolated, whole, strict=True)),
        COMMAND,
    )


def main() -> None:
    torch.set_num_threads(1)
    isolation(8, 256)
    isolation(2, 1024)
    fitting()
    lengths = [len(text.encode()) // 4 for _, text in corpus()]
    for length in (256, 1024):
        packing(lengths, length)


if __name__ == "__main__":
    main()
