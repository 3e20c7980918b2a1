"""Which rows of each shard are packed, on which side and how often.

    sign_shard()   a shard's documents -> what they are drawn by, and what they are like
    divide()       that of all shards -> groups, sides, repeats: a plan for each shard

A group is drawn by the address of one of its documents, always the same one, so that a page that
changes, or a corpus that grows, moves few documents, and one without twins lies where it would lie
by its address alone. Beside the mapped signatures, memory is some numbers for each document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from storage.records import DOCUMENT
from storage.takedown import NOTHING, Forgotten
from storage.tensors import map_tensors, write_tensors
from tasks.shard.config import ShardConfig
from tasks.shard.mixture import count_repeats, groups_of
from tasks.shard.split import ByCluster
from tasks.similarity.minhash import best_banding, permutations
from tasks.similarity.shingles import Shingles, Texts, sign

_NUM_PERM, _SEED, _MIN_RECALL = 112, 1, 0.97
_ROWS_AT_ONCE = 1024
_COLUMNS = ["document_id", "url", "text", "language", "quality"]
_STRIDE = np.uint64(0x9E3779B97F4A7C15)  # the golden ratio: copies lie far from each other

# A group of more than this part of what is to be held out is trained on: drawn, it would be most of
# it. In the demo 31 documents of 625 are to be held out, and the largest cluster has 35.
_LARGEST = 0.25

Places = npt.NDArray[np.int64]
Draws = npt.NDArray[np.float64]
CountTokens = Callable[[Sequence[str]], Places]


class Plan(NamedTuple):
    """Rows of a shard in the order in which they are packed, each as often as it is read, and the
    side of each: its number among SPLITS."""

    rows: Places
    sides: npt.NDArray[np.uint8]

    @classmethod
    def read(cls, path: Path) -> Plan:
        return cls(**map_tensors(path)[0])

    def batches(self, size: int) -> Iterator[Plan]:
        """The same, piece by piece."""
        for first in range(0, self.rows.size, size):
            yield Plan(self.rows[first : first + size], self.sides[first : first + size])


def sign_shard(
    documents: Path,
    config: ShardConfig,
    target: Path,
    forgotten: Forgotten = NOTHING,
    count_tokens: CountTokens | None = None,
    advance: Callable[[int], None] = lambda amount: None,
) -> None:
    """Write what the documents of a shard are drawn by, without those that are `forgotten`.

    `count_tokens` is asked where there is a mixture.
    """
    if target.exists():
        return
    parts, first = [_signed(DOCUMENT.empty_table(), np.empty(0, np.int64), config, None)], 0
    with pq.ParquetFile(documents) as file:
        for batch in file.iter_batches(_ROWS_AT_ONCE, columns=_COLUMNS):
            table = pa.Table.from_batches([batch])
            ids = zip(table["url"].to_pylist(), table["document_id"].to_pylist(), strict=True)
            stays = np.array([forgotten.covers(*one) is None for one in ids], bool)
            rows = first + np.flatnonzero(stays)
            first += len(table)
            advance(len(table))
            table = table if stays.all() else table.filter(pa.array(stays))
            parts.append(_signed(table, rows, config, count_tokens))
    names = parts[0]
    write_tensors(target, {n: np.concatenate([p[n] for p in parts], axis=-1) for n in names}, {})


def _signed(
    documents: pa.Table, rows: Places, config: ShardConfig, count_tokens: CountTokens | None
) -> Mapping[str, npt.NDArray[Any]]:
    urls = documents["url"].to_pylist()
    draws = _hashed(map(config.split.key, urls), config.split_seed)
    found: dict[str, npt.NDArray[Any]] = {"rows": rows, "draws": draws}
    if isinstance(config.split, ByCluster):
        from tasks.similarity.compiled.signatures import band_keys

        functions, banding = permutations(_NUM_PERM, _SEED), _banding(config.split)
        texts = Texts.of(documents["text"].combine_chunks())
        signatures = sign(texts, Shingles(), functions)
        keys = np.empty((banding[0], len(texts)), np.uint64)
        band_keys(signatures, *banding, keys)
        found |= {"signatures": signatures.T.astype(np.uint16), "keys": keys}  # half is as telling
        anchors = (xxhash.xxh64_intdigest(url.encode()) for url in urls)
        found["anchors"] = np.fromiter(anchors, np.uint64)
    if config.mixture:
        found["groups"] = groups_of(documents, config.mixture)
        found["places"] = _hashed(documents["document_id"].to_pylist(), config.split_seed)
        found["tokens"] = np.empty(0, np.int64)
        if count_tokens is not None:
            found["tokens"] = count_tokens(documents["text"].to_pylist())
    return found


def _hashed(keys: Iterable[str], seed: int) -> npt.NDArray[np.uint64]:
    return np.fromiter((xxhash.xxh3_64_intdigest(k.encode(), seed=seed) for k in keys), np.uint64)


def _banding(split: ByCluster) -> tuple[int, int]:
    return best_banding(split.threshold, _NUM_PERM, _MIN_RECALL)


def divide(signed: Sequence[Path], config: ShardConfig, targets: Sequence[Path]) -> dict[str, int]:
    """Write a plan for each shard; return how many clusters there are of two documents or more, the
    size of the largest, and what is held out for a test.

    Raises RequestError for a mixture that the documents cannot give.
    """
    files = [map_tensors(path)[0] for path in signed]

    def column(name: str) -> npt.NDArray[Any]:
        return np.concatenate([file[name] for file in files])

    draws, stats = column("draws") / 2.0**64, {}
    sizes = np.ones(draws.size, np.int64)
    if isinstance(config.split, ByCluster):
        roots = _clusters(files, config.split, signed[0].with_name("signatures"))
        counts = np.bincount(roots)
        stats = {"clusters": int((counts > 1).sum()), "largest_cluster": int(counts.max(initial=0))}
        order = np.lexsort((column("anchors"), roots))
        anchors = order[np.diff(roots[order], prepend=-1) > 0]  # of each cluster, by their roots
        draws = draws[anchors][np.cumsum(counts > 0)[roots] - 1]
        sizes = counts[roots]
    sides = _sides(draws, sizes, config)
    if config.test_share:
        stats["test_documents"] = int((sides == 2).sum())
    times, places = np.ones(draws.size, np.int64), np.zeros(draws.size, np.uint64)
    if config.mixture:
        trained, places = sides == 0, column("places")
        groups, tokens = column("groups")[trained], column("tokens")[trained]
        times[trained] = count_repeats(groups, tokens, places[trained], config.mixture)
    ends = np.cumsum([file["draws"].size for file in files])
    for file, target, *parts in zip(
        files, targets, *(np.split(of, ends[:-1]) for of in (sides, times, places)), strict=True
    ):
        write_tensors(target, _plan(file["rows"], *parts)._asdict(), {})
    return stats


def _clusters(files: Sequence[Mapping[str, Any]], split: ByCluster, scratch: Path) -> Places:
    """The number of the first document of each document's cluster."""
    from tasks.similarity.compiled.signatures import find_all, link_alike

    num_documents = sum(file["draws"].size for file in files)
    roots = np.arange(num_documents)
    if not num_documents:
        return roots
    with scratch.open("wb") as stream:  # not written where it is mapped: a full disk would kill
        for file in files:
            stream.write(np.ascontiguousarray(file["signatures"].T).data)
    signatures = np.memmap(scratch, np.uint16, "r", shape=(num_documents, _NUM_PERM))
    least = ceil(split.threshold * _NUM_PERM)
    for band in range(_banding(split)[0]):
        keys = np.concatenate([file["keys"][band] for file in files])
        order = np.argsort(keys, kind="stable")
        link_alike(keys[order], order, np.asarray(signatures), least, roots)
    find_all(roots)
    return roots


def _sides(draws: Draws, sizes: Places, config: ShardConfig) -> npt.NDArray[np.uint8]:
    """The side of each document of a group that is drawn so (0-1) and has so many documents.

    At least one of several groups is held out; what never is adds to the chance of the others.
    """
    wanted = config.validation_share * draws.size
    can = sizes <= max(_LARGEST * wanted, sizes.min(initial=draws.size))
    least, most = draws[can].min(initial=1), draws[can].max(initial=0)
    scale = draws.size / max(can.sum(), 1)
    low = max(config.validation_share * scale, least if least < most else 0)
    high = min(1 - config.test_share * scale, most) if config.test_share else 2
    return np.select([~can, draws <= low, draws >= high], [0, 1, 2], 0).astype(np.uint8)


def _plan(rows: Places, sides: npt.NDArray[np.uint8], times: Places, places: Any) -> Plan:
    """Every document as often as it is read, its copies spread over all of the shard; in their
    order what is held out, and all where each is read once.
    """
    again = np.repeat(np.arange(rows.size), times)
    if (times != 1).any():
        copies = np.arange(again.size) - np.repeat(np.cumsum(times) - times, times)
        is_trained = sides[again] == 0
        spread = places[again] + copies.astype(np.uint64) * _STRIDE
        again = again[np.lexsort((np.where(is_trained, spread, 0), is_trained))]
    return Plan(rows[again], sides[again])
