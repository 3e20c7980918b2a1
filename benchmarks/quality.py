"""The quality classifier beside fastText and scikit-learn: how good, how fast.

`python -m benchmarks.quality --peer peers/bin/python`, with both in a virtual environment of their
own (`python -m venv peers && peers/bin/pip install fasttext-wheel scikit-learn`). Pieces of 30
words of Python's manual against such of PostgreSQL's (python3.11-doc, postgresql-doc-15), split by
page; all train from the same pieces. What is scored are the whole pages, read to their end.
fastText comes twice: as it is, and with a rate and epochs (1.0, 25) that suit few examples better.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.ledger import record
from benchmarks.personal_data import texts
from tasks.quality.classifiers import Linear
from tasks.quality.evaluation import area_under_curve, calibration_error
from tasks.quality.examples.reading import Example
from tasks.quality.model import LinearModel
from tasks.quality.train import Split, fit

COMMAND = "python -m benchmarks.quality --peer PATH"
PEER = Path(__file__).with_name("quality_peer.py")
FOLDERS = ("python3.11/html", "postgresql-doc-15/html")
WORDS, PIECES, REPEATS = 30, 8_000, 3


def pieces(pages: Sequence[str], seed: int) -> tuple[list[str], list[str]]:
    """Pieces of the pages to train from, and of every fifth page, held out."""
    sides: tuple[list[str], list[str]] = ([], [])
    for number, page in enumerate(pages):
        words = page.split()
        own = [" ".join(words[at : at + WORDS]) for at in range(0, len(words) - WORDS, WORDS)]
        sides[number % 5 == 0].extend(own)
    draw = random.Random(seed)
    return draw.sample(sides[0], PIECES), draw.sample(sides[1], PIECES // 5)


def ours(train: Sequence[Sequence[str]], held_out: Sequence[str], documents: Sequence[str]) -> Any:
    """What the peer answers, of this classifier."""
    given = {"kind": "reference", "good": {"paths": ["none"], "digest": "none"}}
    config = Linear.model_validate({"examples": given, "max_words": 1_000_000})
    sides = [Split(tuple(map(Example.of, side)), (), "text") for side in train]
    model = LinearModel(config.features, np.zeros(1 << 20, np.float32), 0.0)
    whole = pa.chunked_array([pa.array(documents, pa.large_string())])
    fit(config, sides), model.score(whole)  # compiled before the clock starts
    begun = time.process_time()
    model = fit(config, sides)[0]
    trained, seconds = time.process_time(), []
    for _ in range(REPEATS):
        start = time.process_time()
        model.score(whole)
        seconds.append(time.process_time() - start)
    scores = model.score(pa.chunked_array([pa.array(held_out)]))
    return {"train_s": trained - begun, "score_s": min(seconds), "held_out": scores.tolist()}


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", type=Path, required=True, help="python with fastText and sklearn")
    given = parser.parse_args()
    pages = [texts([Path("/usr/share/doc") / folder]) for folder in FOLDERS]
    good, bad = (pieces(of, seed) for seed, of in enumerate(pages))
    documents, held_out = [*pages[0], *pages[1]], [*good[1], *bad[1]]
    labels = np.arange(len(held_out)) < len(good[1])
    asked = {
        "texts": [*good[0], *bad[0]],
        "labels": [1] * PIECES + [0] * PIECES,
        "held_out": held_out,
        "documents": documents,
        "repeats": REPEATS,
    }
    done = subprocess.run(
        [given.peer.absolute(), PEER], input=json.dumps(asked) + "\n", stdout=subprocess.PIPE,
        text=True, check=True,
    )  # fmt: skip
    told = {"phusa": ours((good[0], bad[0]), held_out, documents), **json.loads(done.stdout)}
    megabytes = sum(len(text.encode()) for text in documents) / 1e6
    shown = {}
    for name, of in told.items():
        scores = np.array(of["held_out"])
        area, error = area_under_curve(scores, labels), calibration_error(scores, labels)
        speed = megabytes / of["score_s"]
        shown[name] = (f"{speed:.0f} MB/s, AUC {area:.4f}", speed)
        print(f"{name}: {shown[name][0]}, ECE {error:.3f}, trained in {of['train_s']:.2f} s of CPU")
    for name in list(told)[1:]:
        record(
            f"quality, {name}",
            f"scoring {megabytes:.0f} MB of two manuals' pages, words and pairs of words, CPU; AUC "
            f"on held-out pieces of {WORDS} words; peer: {name}",
            shown["phusa"][0],
            shown[name][0],
            f"{shown['phusa'][1] / shown[name][1]:.1f}x",
            COMMAND,
        )


if __name__ == "__main__":
    main()
