"""The n-grams that decide: they show whether a model has learnt style or boilerplate."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tasks.quality.features import Bags, strings_of
from tasks.quality.model import LinearModel

_TOP = 40
_MIN_TEXTS = 3
"""An n-gram of fewer texts is not told: it would quote them, and decides little."""


def telling_ngrams(
    model: LinearModel, texts: pa.ChunkedArray, bags: Bags, labels: npt.NDArray[np.uint8]
) -> dict[str, Any]:
    """The n-grams that move the examples' scores most, for good and for bad.

    They are ordered by weight times mean share of a text's n-grams. Each comes with its weight (in
    logits) and the shares of good and of bad texts (0-1) that it stands in; `also` are other
    n-grams that fall into the same bucket.
    """
    num = model.features.num_buckets
    sizes = np.diff(bags.ends, prepend=0)
    of_entry = np.repeat(labels, sizes)
    good = np.bincount(bags.buckets[of_entry == 1], minlength=num)
    bad = np.bincount(bags.buckets[of_entry == 0], minlength=num)
    mean_share = np.bincount(bags.buckets, bags.shares, num) / len(labels)
    moved = np.where(good + bad >= _MIN_TEXTS, model.weights * mean_share, 0.0)
    ordered = np.argsort(-moved, kind="stable")
    sides = {"good": ordered[:_TOP], "bad": ordered[::-1][:_TOP]}
    wanted = {name: side[np.sign(moved[side]) == sign] for (name, side), sign in
              zip(sides.items(), (1, -1), strict=True)}  # fmt: skip
    names = _names(model, texts, np.concatenate(list(wanted.values())))
    num_good = max(int((labels == 1).sum()), 1)
    num_bad = max(int((labels == 0).sum()), 1)
    return {
        side: [
            {
                "ngram": names[bucket][0],
                "also": names[bucket][1:],
                "weight": round(float(model.weights[bucket]), 4),
                "in_good": round(int(good[bucket]) / num_good, 4),
                "in_bad": round(int(bad[bucket]) / num_bad, 4),
            }
            for bucket in buckets.tolist()
        ]
        for side, buckets in wanted.items()
    }


def _names(
    model: LinearModel, texts: pa.ChunkedArray, buckets: npt.NDArray[np.int64]
) -> dict[int, list[str]]:
    """The n-grams in each bucket, the most frequent first, three at most."""
    counts = defaultdict[int, Counter[str]](Counter)
    for place, ngram in strings_of(texts, model.features, buckets):
        counts[int(buckets[place])][ngram] += 1
    return {
        bucket: [ngram for ngram, _ in sorted(of.items(), key=lambda item: (-item[1], item[0]))[:3]]
        for bucket, of in counts.items()
    }
