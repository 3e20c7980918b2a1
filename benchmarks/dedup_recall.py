"""What dedup finds of all pairs that are alike, against brute force on 20 000 real documents.

`python -m benchmarks.dedup_recall`. Documents: ASCII sections of Debian's documentation, see
`benchmarks.dedup_documents`, with the near-duplicates that are there by nature, and edited copies
whose similarity to their original is spread evenly over 0.7 to 1. Every pair is measured: words by
a regular expression, shingles numbered by a dictionary, intersections by a sparse product; none of
it is dedup's code.

A pair is found if its documents share a key, so that they are measured; and settled if they do not
both stay. What was dropped is compared with what brute force measured for the same pair.
"""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from scipy.sparse import csr_array

from benchmarks.dedup_documents import document_table, edited, sections
from benchmarks.ledger import record
from storage.parquet import shard_name, write_table
from storage.workspace import Workspace
from tasks.dedup.config import DedupConfig
from tasks.dedup.keys import read_keys
from tasks.dedup.work import DUPLICATES, DedupWork, deduplicate

COMMAND = "python -m benchmarks.dedup_recall"
BUCKETS = (0.8, 0.82, 0.85, 0.9, 0.95, 0.999, 1.001)
_WORD = re.compile("[a-z0-9_]+")
_BLOCK = 250  # rows of the sparse product at once
_SHARDS = 4

Ints = npt.NDArray[np.int64]
Document = tuple[str, str]


@dataclass(frozen=True)
class Pairs:
    """Pairs of documents by number, the lower one first, and how alike they are."""

    low: Ints
    high: Ints
    similarity: npt.NDArray[np.float64]


def alike(texts: Sequence[str], threshold: float, size: int = 5) -> Pairs:
    """Every pair with that exact Jaccard similarity of word n-grams, or more."""
    numbers: dict[tuple[str, ...], int] = {}
    columns: list[int] = []
    ends = [0]
    for text in texts:
        words = _WORD.findall(text.lower())
        runs = {tuple(words[at : at + size]) for at in range(max(len(words) - size + 1, 1))}
        columns += (numbers.setdefault(run, len(numbers)) for run in runs)
        ends.append(len(columns))
    ones = np.ones(len(columns), np.int32)
    sets = csr_array((ones, columns, ends), (len(texts), len(numbers)))
    found = list(_over(sets, np.diff(ends), threshold))
    return Pairs(*(np.concatenate(part) for part in zip(*found, strict=True)))


def _over(sets: Any, sizes: Ints, threshold: float) -> Iterator[tuple[Any, Any, Any]]:
    turned = sets.T.tocsr()
    for first in range(0, len(sizes), _BLOCK):
        shared = (sets[first : first + _BLOCK] @ turned).tocoo()
        low, high = shared.coords[0].astype(np.int64) + first, shared.coords[1].astype(np.int64)
        similarity = shared.data / (sizes[low] + sizes[high] - shared.data)
        over = (low < high) & (similarity >= threshold)
        yield low[over], high[over], similarity[over]


def graded(found: Sequence[Document], num_copies: int, seed: int = 1) -> list[Document]:
    """Copies of some of the documents, their similarity drawn evenly from 0.7 to 1."""
    draw = random.Random(seed)
    copies = []
    for url, text in draw.sample(list(found), num_copies):
        wanted, words = draw.uniform(0.7, 1), len(text.split(" "))
        changes = round(words * (1 - wanted) / (1 + wanted) / 5)  # each changes five shingles
        copies.append((f"{url}-{wanted:.3f}", edited(text, changes, draw)))
    return copies


@dataclass(frozen=True)
class Result:
    """What dedup made of the documents, by their numbers."""

    keys: npt.NDArray[np.uint64]
    dropped: Mapping[int, tuple[int, float]]
    """The kept document of each that went, and the similarity."""

    def finds(self, pairs: Pairs) -> npt.NDArray[np.bool_]:
        return (self.keys[pairs.low] == self.keys[pairs.high]).any(axis=1)

    def settles(self, pairs: Pairs) -> npt.NDArray[np.bool_]:
        goes = np.zeros(len(self.keys), bool)
        goes[list(self.dropped)] = True
        return goes[pairs.low] | goes[pairs.high]


def deduplicated(found: Sequence[Document], config: DedupConfig, root: Path) -> Result:
    """Run the whole stage on the documents."""
    source = Workspace(root / "corpus")
    names = [shard_name("documents", shard, _SHARDS) for shard in range(_SHARDS)]
    numbered = [(f"{number:032x}", *of_one) for number, of_one in enumerate(found)]
    for shard, name in enumerate(names):
        ids, urls, texts = zip(*numbered[shard::_SHARDS], strict=True)
        counts = np.array([len(text.split()) for text in texts], np.int32)
        columns = {"document_id": ids, "url": urls, "text": texts, "num_words": counts}
        write_table(source, name, document_table(columns, len(ids)))
    work = DedupWork(tuple(source.data / name for name in names), (), config, root / "dedup")
    deduplicate(work)
    keys = np.empty((len(found), config.num_columns), np.uint64)
    for shard, path in enumerate(sorted((work.workspace.scratch / "signatures").iterdir())):
        keys[shard::_SHARDS] = read_keys(path).T
    rows = pq.read_table(work.workspace.data / DUPLICATES).to_pylist()
    dropped = {
        int(row["document_id"], 16): (int(row["kept_id"], 16), row["similarity"]) for row in rows
    }
    return Result(keys, dropped)


def wrongly_dropped(result: Result, pairs: Pairs) -> list[tuple[int, int]]:
    """Drops whose pair brute force did not find, or with another similarity, or whose kept one
    did not stay."""
    ends = zip(pairs.low.tolist(), pairs.high.tolist(), strict=True)
    known = dict(zip(ends, pairs.similarity.tolist(), strict=True))
    return [
        (one, kept)
        for one, (kept, similarity) in result.dropped.items()
        if known.get((min(one, kept), max(one, kept))) != similarity or kept in result.dropped
    ]


def recall(result: Result, pairs: Pairs, least: float, most: float) -> tuple[int, float, float]:
    """Of the pairs with a similarity from `least` to below `most`: how many, and which shares were
    found and settled."""
    within = (pairs.similarity >= least) & (pairs.similarity < most)
    count = int(within.sum())
    shares = (np.sum(of(pairs)[within]) / max(count, 1) for of in (result.finds, result.settles))
    found, settled = map(float, shares)
    return count, found, settled


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--letters", type=int, default=2_500, help="in a section, at most")
    given = parser.parse_args()
    real = [(url, text) for url, text in sections(given.letters) if text.isascii()]
    random.Random(0).shuffle(real)
    real = real[: given.documents * 7 // 10]
    found = [*real, *graded(real, given.documents - len(real))]
    config = DedupConfig()
    pairs = alike([text for _, text in found], config.threshold)
    with TemporaryDirectory() as folder:
        result = deduplicated(found, config, Path(folder))
    wrong = wrongly_dropped(result, pairs)
    print(f"{len(real):,} real documents and {len(found) - len(real):,} edited copies")
    print(f"{len(pairs.low):,} pairs alike; {len(result.dropped):,} dropped, {len(wrong)} wrongly")
    print("| similarity | pairs | found | settled |\n|---|---|---|---|")
    told = []
    for least, most in pairwise(BUCKETS):
        count, share, settled = recall(result, pairs, least, most)
        print(f"| {least} to {min(most, 1)} | {count:,} | {share:.4f} | {settled:.4f} |")
        told.append(f"{share:.4f} from {least}")
    what = f"{len(found):,} real documents; pairs by similarity that share a key; peer: brute force"
    exact = f"{len(pairs.low):,} pairs; {len(wrong)} of {len(result.dropped):,} drops wrong"
    record("dedup, recall", what, ", ".join(told), exact, "-", COMMAND)


if __name__ == "__main__":
    main()
