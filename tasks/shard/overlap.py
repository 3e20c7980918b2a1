"""How much of what is held out stands in what is trained on, in runs of five words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.shard.division import Plan
from tasks.similarity.shingles import Shingles, Texts, alphabet, shingle_sets

_GRAMS = Shingles()  # five words
_MEASURED_BYTES = 32 << 20  # of held-out text: with its hashes, 250 MB


def measure_overlap(
    documents: Sequence[Path],
    plans: Sequence[Path],
    advance: Callable[[int], None] = lambda amount: None,
) -> dict[str, Any]:
    """The share (0-1) of the distinct 5-grams of held-out documents that occur in training, and of
    how many of the documents that were looked at more than half do.

    Looked at are the first held-out documents of each shard, all where they are 32 MB or less.
    """
    from tasks.similarity.compiled.words import mark_runs

    shards = list(zip(documents, map(Plan.read, plans), strict=True))
    sets, sizes = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    for path, plan in shards:
        texts = _first(_texts(path, plan.rows[plan.sides > 0]), _MEASURED_BYTES // len(shards))
        of_texts, of_each = shingle_sets(texts, _GRAMS)
        sets.append(of_texts)
        sizes.append(of_each)
    grams, lengths = np.concatenate(sets), np.concatenate(sizes)
    wanted, places = np.unique(grams, return_inverse=True)
    bits = max(16, wanted.size.bit_length() + 1)
    shift, size, seen = np.uint64(64 - bits), _GRAMS.size, np.zeros(wanted.size, np.uint8)
    counts = np.bincount((wanted >> shift).astype(np.int64), minlength=1 << bits)
    firsts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    for path, plan in shards:
        for part in _texts(path, np.unique(plan.rows[plan.sides == 0])).batches():
            mark_runs(part.data, part.offsets, *alphabet(), size, wanted, firsts, shift, seen)
        advance(1)
    is_seen = seen[places]
    of_each = np.bincount(np.repeat(np.arange(lengths.size), lengths), is_seen, lengths.size)
    return {
        "overlap_share": float(is_seen.mean()) if is_seen.size else 0.0,
        "overlap_documents": int((2 * of_each > lengths).sum()),
        "overlap_measured": lengths.size,
    }


def _texts(path: Path, rows: npt.NDArray[np.int64]) -> Texts:
    column = pq.read_table(path, columns=["text"])["text"].cast(pa.large_string())
    return Texts.of(column.take(pa.array(rows)).combine_chunks())


def _first(texts: Texts, num_bytes: int) -> Texts:
    """So many bytes of them, a text at least."""
    last = np.searchsorted(texts.offsets, texts.offsets[0] + num_bytes, "right")
    return Texts(texts.data, texts.offsets[: max(int(last), 2)])
