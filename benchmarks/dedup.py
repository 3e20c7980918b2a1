"""Dedup's speed on real documentation: signatures beside three peers, and the whole stage.

`python -m benchmarks.dedup FOLDER --datatrove PYTHON --rensa PYTHON`, with peers in virtual
environments of their own (`datatrove[processing]==0.10.1 spacy`; `rensa pyarrow`). Documents:
sections of what stands in Debian's /usr/share/doc and a copy of each, see
`benchmarks.dedup_documents`; 60 000 of them, about 220 MB.

Signatures: 112 permutations, word 5-grams, one core, from text in memory, CPU seconds. Each peer
takes as many documents as it needs some seconds for, next to a pass of phusa's over all of them, in
turn; the median ratio counts. datatrove is run as it comes, and once more with words by `split` in
place of its own tokenizer.
Whole stage: Parquet to Parquet, every pair measured, two threads. The kernels are compiled before.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.dedup_documents import (
    PAGES,
    TEXTS,
    document_table,
    run_steps,
    sections,
    with_copies,
)
from benchmarks.ledger import record
from storage.identities import document_id
from storage.parquet import shard_name, write_table
from storage.workspace import Workspace
from tasks.dedup.methods import MinHash
from tasks.dedup.work import DUPLICATES
from tasks.similarity.shingles import Shingles, sign, texts_of

COMMAND = "python -m benchmarks.dedup FOLDER --datatrove PATH --rensa PATH"
PEER = Path(__file__).with_name("dedup_peer.py")
_SHARDS = 8
# Bytes of text that each takes some seconds for.
_MOST = {
    "datatrove": 1_000_000,
    "datatrove, given words": 2_000_000,
    "datasketch": 20_000_000,
    "rensa": 60_000_000,
}


def make(folder: Path, num_documents: int) -> tuple[Path, ...]:
    """Write the corpus, if it is not there; returns its files."""
    workspace = Workspace(folder / "corpus")
    names = [shard_name("documents", shard, _SHARDS) for shard in range(_SHARDS)]
    if not all(map(workspace.entry, names)):
        found = list(sections(4_500, (*PAGES, *TEXTS)))
        random.Random(0).shuffle(found)
        both = with_copies(list(islice(found, num_documents // 2)))
        for shard, name in enumerate(names):
            urls, texts = zip(*both[shard::_SHARDS], strict=True)
            columns = {
                "document_id": list(map(document_id, urls, texts)),
                "url": urls,
                "text": texts,
                "num_words": np.array([len(text.split()) for text in texts], np.int32),
            }
            write_table(workspace, name, document_table(columns, len(urls)))
    return tuple(workspace.data / name for name in names)


def signatures(text: pa.ChunkedArray) -> tuple[int, float]:
    """Bytes of text, and CPU seconds of their signatures."""
    permutations, shingles = MinHash().permutations(), Shingles()
    begun, size = time.process_time(), 0
    for texts in texts_of(text):
        sign(texts, shingles, permutations)
        size += int(texts.offsets[-1] - texts.offsets[0])
    return size, time.process_time() - begun


def race(peer: str, python: Path, text: pa.ChunkedArray, texts: Path, repeats: int) -> None:
    """phusa and a peer in turn; the peer reads some of the texts from a file."""
    signatures(text.slice(0, 100))
    runs = []
    for _ in range(repeats):
        size, seconds = signatures(text)
        words = [str(python.absolute()), str(PEER), peer, str(texts), str(_MOST[peer])]
        told = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout.split()
        runs.append((size / seconds / 1e6, int(told[-2]) / float(told[-1]) / 1e6))
    print(f"{peer}: MB/s, phusa and peer in turn:", ", ".join(f"{a:.1f} {b:.2f}" for a, b in runs))
    ours, theirs = (statistics.median(side) for side in zip(*runs, strict=True))
    ratio = statistics.median(a / b for a, b in runs)
    what = "112 permutations, word 5-grams, real documentation, MB of text per CPU second, one core"
    record(
        f"dedup, signatures, {peer}",
        f"{what}; peer: {peer}",
        f"{ours:,.0f}",
        f"{theirs:,.2f}",
        f"{ratio:,.0f}x",
        COMMAND,
    )


def stage(files: Sequence[Path], folder: Path) -> None:
    """Every step over the whole corpus."""
    shutil.rmtree(folder / "dedup", ignore_errors=True)
    steps = {}
    for name, seconds in run_steps(files, folder / "dedup"):
        print(f"{name:10} {seconds:6.2f} s", flush=True)
        steps[name] = seconds
    print(f"compile, apart: {steps.pop('compile'):.1f} s")
    tables = [pq.read_table(path, columns=["text"])["text"] for path in files]
    size = sum(int(t.offsets[-1] - t.offsets[0]) for of in tables for t in texts_of(of))
    num = sum(map(len, tables))
    dropped = pq.read_metadata(folder / "dedup" / "data" / DUPLICATES).num_rows
    what = f"{num:,} real documents, {size / 1e6:,.0f} MB, Parquet to Parquet, every pair measured"
    record(
        "dedup, whole stage",
        f"{what}, 2 threads; {dropped:,} dropped",
        f"{sum(steps.values()):.1f} s",
        "-",
        "-",
        COMMAND,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the corpus and the result go")
    parser.add_argument("--documents", type=int, default=60_000)
    parser.add_argument("--datatrove", type=Path, help="python with datatrove")
    parser.add_argument("--rensa", type=Path, help="python with rensa and pyarrow")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    files = make(given.folder, given.documents)
    stage(files, given.folder)
    text = pa.concat_tables([pq.read_table(path, columns=["text"]) for path in files])["text"]
    texts = given.folder / "texts.json"
    texts.write_text(json.dumps(text.slice(0, len(text) // 3).to_pylist()))
    peers = {
        "datasketch": Path(sys.executable),
        "datatrove": given.datatrove,
        "datatrove, given words": given.datatrove,
        "rensa": given.rensa,
    }
    for peer, python in peers.items():
        if python:
            race(peer, python, text, texts, given.repeats)


if __name__ == "__main__":
    main()
