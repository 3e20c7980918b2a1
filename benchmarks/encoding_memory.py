"""What the encoder takes of memory over much text, and on text that is hard to encode.

`python -m benchmarks.encoding_memory`, or with `--gb` less than 10. Lines of what stands in
Debian's /usr/share/doc are drawn at random, so that words come as often as in real text, and one
word in a hundred is a new one. Then a tenth as much in which every word is new. Each in a process
of its own, documents of 8 KB, batches of 256 as in the shard stage; CPU seconds without those of
making the text up. First, single runs of a letter without a space, by both engines.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Literal

import numpy as np

from benchmarks.ledger import record
from benchmarks.loader import memory
from benchmarks.tokens import corpus
from tasks.lm.tokens import TextEncoder
from tasks.shard.encoding import DocumentEncoder, Engine
from tasks.tokenizer.config import TokenizerConfig
from tasks.tokenizer.train import train_tokenizer

COMMAND = "python -m benchmarks.encoding_memory"
_BATCH, _DOCUMENT_BYTES = 256, 8_192
Words = Literal["real", "distinct"]


def distinct(num_bytes: int, draw: np.random.Generator) -> str:
    """Make words of eight letters up; of 26^8, hardly one comes twice."""
    letters = draw.integers(97, 123, (num_bytes // 9, 9), np.uint8)
    letters[:, 8] = 32
    return letters.tobytes().decode()


def batches(words: Words, lines: list[str], num_bytes: float) -> Iterator[list[str]]:
    """Make documents up, a batch at a time."""
    draw, made = np.random.default_rng(0), 0
    choose = random.Random(0)
    mean = sum(map(len, lines)) / len(lines)
    while made < num_bytes:
        if words == "distinct":
            texts = [distinct(_DOCUMENT_BYTES, draw) for _ in range(_BATCH)]
        else:
            count = int(_DOCUMENT_BYTES / mean)
            drawn = (choose.choices(lines, k=count) for _ in range(_BATCH))
            new = distinct(_BATCH * _DOCUMENT_BYTES // 100, draw).split()
            each = len(new) // _BATCH
            texts = [
                "\n".join(some) + "\n" + " ".join(new[n * each : (n + 1) * each])
                for n, some in enumerate(drawn)
            ]
        made += sum(map(len, texts))
        yield texts


def measure(words: Words, num_bytes: float) -> dict[str, float]:
    """Encode; gives MB a CPU second, and by how much this process grew, at most and at the end."""
    texts = [text for _, text in corpus()]
    encoder = TextEncoder(train_tokenizer(texts[::4], TokenizerConfig(vocab_size=32_768)))
    lines = [line for text in texts for line in text.splitlines() if line.strip()]
    ours, took, size = DocumentEncoder(encoder, "gigatoken"), 0.0, 0
    before, most = memory("VmRSS"), 0
    for batch in batches(words, lines, num_bytes):
        began = time.process_time()
        ours.encode(batch)
        took += time.process_time() - began
        size += sum(len(text.encode()) for text in batch)
        most = max(most, memory("VmRSS") - before)
    rate, last = size / 1e6 / took, memory("VmRSS") - before
    return {"gb": size / 1e9, "rate": rate, "most": most / 1e6, "last": last / 1e6}


def runs() -> None:
    """Record how the time goes with the length of a run without a space."""
    texts = [text for _, text in corpus()][:500]
    encoder = TextEncoder(train_tokenizer(texts, TokenizerConfig(vocab_size=4_096)))
    took: dict[tuple[Engine, int], float] = {}
    engines: tuple[Engine, ...] = ("gigatoken", "tokenizers")
    for engine in engines:
        one = DocumentEncoder(encoder, engine)
        one.encode(["warm"])
        for length in (50_000, 400_000):
            began = time.process_time()
            one.encode(["a" * length])
            took[engine, length] = time.process_time() - began
    ours, theirs = (
        ", ".join(f"{took[engine, length] * 1e3:.0f} ms" for length in (50_000, 400_000))
        for engine in engines
    )
    what = "50,000 and 400,000 equal letters without a space, CPU time; peer: tokenizers"
    record("encoding, runs", what, ours, theirs, "-", COMMAND)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--gb", type=float, default=10)
    parser.add_argument("--measure", choices=["real", "distinct"])
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(given.measure, given.gb * 1e9)))
        return
    runs()
    for words, num_gb in (("real", given.gb), ("distinct", given.gb / 10)):
        command = [sys.executable, "-m", "benchmarks.encoding_memory", "--measure", words]
        command += ["--gb", str(num_gb)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
        record(
            f"encoding, memory, {words} words",
            f"{found['gb']:.1f} GB streamed: MB a CPU second; memory that it took, at most and at "
            "the end",
            f"{found['rate']:.0f}; {found['most']:.0f} MB, {found['last']:.0f} MB",
            "-",
            "-",
            COMMAND,
        )


if __name__ == "__main__":
    main()
