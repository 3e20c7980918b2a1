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
    """The n-grams that set the examples apart most, for good and for bad.

    They are ordered by weight times the difference between their mean shares of a good and of a bad
    text's n-grams. Each comes with its weight (in logits) and the shares of good and of bad texts
    (0-1) that it stands in; `also` are other n-grams that fall into the same bucket.
    """
    num = model.features.num_buckets
    is_good = np.repeat(labels == 1, np.diff(bags.ends, prepend=0))
    num_good, num_bad = (max(int((labels == label).sum()), 1) for label in (1, 0))
    good, bad = (np.bincount(bags.buckets[of], minlength=num) for of in (is_good, ~is_good))
    shares = [np.bincount(bags.buckets[of], bags.shares[of], num) for of in (is_good, ~is_good)]
    apart = model.weights * (shares[0] / num_good - shares[1] / num_bad)
    apart = np.where((good + bad >= _MIN_TEXTS) & (apart > 0), apart, 0.0)
    wanted = {
        side: _first(np.where(sign * model.weights > 0, apart, 0.0))
        for side, sign in (("good", 1), ("bad", -1))
    }
    names = _names(model, texts, np.concatenate(list(wanted.values())))
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


def _first(values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """The buckets of the greatest positive values, in order."""
    ordered = np.argsort(-values, kind="stable")[:_TOP]
    return ordered[values[ordered] > 0]


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
