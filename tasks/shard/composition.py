"""What the tokens to train on are of: languages, sources, groups of the mixture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from tasks.artifacts.sequences import count_tokens
from tasks.domains import domains_of
from tasks.shard.mixture import REST, Mixture, groups_of

_NAMED = 20
OTHERS = "others"


def count_composition(
    documents: Sequence[Path], train: Sequence[Path], mixture: Mixture
) -> dict[str, dict[str, int]]:
    """Tokens to train on by what they are of, the most first; those of the smallest as one.

    `documents` and `train` are files of the same shards.
    """
    counts = {"language_tokens": Counter[str](), "source_tokens": Counter[str]()}
    if mixture:
        counts["mixture_tokens"] = Counter({group.name: 0 for group in mixture})
    names = [*(group.name for group in mixture), REST]
    for path, packed in zip(documents, train, strict=True):
        table = pq.read_table(path, columns=["document_id", "url", "language", "quality"])
        found = count_tokens([packed], np.ones(pq.read_metadata(packed).num_rows, np.int64))
        tokens = [found.get(name, 0) for name in table["document_id"].to_pylist()]
        _add(counts["language_tokens"], table["language"].to_pylist(), tokens)
        _add(counts["source_tokens"], domains_of(table["url"]).to_pylist(), tokens)
        if mixture:
            groups = groups_of(table, mixture).tolist()
            _add(counts["mixture_tokens"], [names[group] for group in groups], tokens)
    return {what: _most(of) for what, of in counts.items()}


def _add(counts: Counter[str], names: Iterable[str], tokens: Iterable[int]) -> None:
    for name, amount in zip(names, tokens, strict=True):
        if amount:
            counts[name] += amount


def _most(counts: Counter[str]) -> dict[str, int]:
    ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    rest = sum(amount for _, amount in ordered[_NAMED:])
    return dict(ordered[:_NAMED]) | ({OTHERS: rest} if rest else {})
