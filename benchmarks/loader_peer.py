"""litdata on what `phusa export --form litdata` wrote, run by a Python that has it: prints what it
measured as JSON. `loader_peer.py FOLDER BATCH BLOCK`.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from litdata import StreamingDataLoader, StreamingDataset, TokensLoader

_STEPS = 5_000


def memory(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024


def check(folder: str, block: int) -> None:
    """Its blocks are the ids of the chunks, in order."""
    index = json.loads((Path(folder) / "index.json").read_text())
    first = Path(folder) / index["chunks"][0]["filename"]
    expected = np.fromfile(first, np.uint16, offset=12)
    blocks = StreamingDataset(folder, item_loader=TokensLoader(block_size=block))
    assert len(blocks) == sum(chunk["dim"] // block for chunk in index["chunks"])
    for number in (0, 1, len(expected) // block - 1):
        found = blocks[number].numpy()
        assert (found == expected[number * block : (number + 1) * block]).all()


def main(folder: str, batch: int, block: int) -> None:
    torch.set_num_threads(1)
    check(folder, block)
    before = memory("VmRSS")
    dataset = StreamingDataset(folder, item_loader=TokensLoader(block_size=block), shuffle=True)
    batches = iter(StreamingDataLoader(dataset, batch_size=batch, num_workers=0))
    next(batches)
    began, steps = time.process_time(), 0
    for found in batches:
        ids = found.long()
        _ = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
        steps += 1
        if steps == _STEPS:
            break
    rate = steps * batch * (block - 1) / (time.process_time() - began)
    grown = memory("VmHWM") - before
    print(json.dumps({"rate": rate, "grown": grown, "version": version("litdata")}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
