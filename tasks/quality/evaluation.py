"""How well scores tell good from bad on examples that were held out.

Good and bad are weighed the same, however many there are of each: rates and the calibration are
those of a corpus that is half good, as the scores themselves are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.quality.train import HeldOut

BINS = 15
"""Of equal width, as in Guo et al., arXiv:1706.04599 §2."""

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def area_under_curve(scores: Floats, good: Bools) -> float:
    """How often a good one scores above a bad one (0-1), ties counted half; NaN without both."""
    num_good, num_bad = int(good.sum()), int((~good).sum())
    if not num_good or not num_bad:
        return float("nan")
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    above = ranks[places][good].sum() - num_good * (num_good + 1) / 2
    return float(above / (num_good * num_bad))


def calibration_error(scores: Floats, good: Bools) -> float:
    """Mean distance of score and share of good ones (0-1), over bins, each weighed by its size."""
    return sum(
        row["weight"] * abs(row["mean_score"] - row["good"]) for row in reliability(scores, good)
    )


def reliability(scores: Floats, good: Bools) -> list[dict[str, float]]:
    """For each bin that has any: its share of the examples, their mean score, how many are good."""
    weights = np.where(good, 0.5 / max(good.sum(), 1), 0.5 / max((~good).sum(), 1))
    bins = np.minimum((scores * BINS).astype(int), BINS - 1)
    rows = []
    for number in np.unique(bins):
        own = bins == number
        whole = weights[own].sum()
        rows.append(
            {
                "weight": round(float(whole), 6),
                "mean_score": round(float((scores[own] * weights[own]).sum() / whole), 6),
                "good": round(float(weights[own & good].sum() / whole), 6),
            }
        )
    return rows


def rates(kept: Bools, good: Bools) -> dict[str, float]:
    """Precision, recall and F1 (0-1) of what is kept, good and bad weighed the same."""
    recall = float(kept[good].mean()) if good.any() else 0.0
    passed = float(kept[~good].mean()) if (~good).any() else 0.0
    precision = recall / (recall + passed) if recall + passed else 0.0
    both = precision + recall
    f1 = 2 * precision * recall / both if both else 0.0
    names = ("precision", "recall", "f1", "bad_kept")
    return {n: round(v, 4) for n, v in zip(names, (precision, recall, f1, passed), strict=True)}


def evaluate(held_out: HeldOut, bound_of: Callable[[str], float]) -> dict[str, Any]:
    """The whole evaluation; `bound_of` gives the threshold for a language."""
    scores, good = np.array(held_out.scores), np.array(held_out.labels) == 1
    languages = np.array([language or "unknown" for language in held_out.languages])
    bounds = np.array([bound_of(language) for language in held_out.languages])
    kept = scores >= bounds
    return {
        "auc": round(area_under_curve(scores, good), 6),
        "calibration_error": round(calibration_error(scores, good), 6),
        "threshold": bound_of(""),
        **rates(kept, good),
        "confusion": {
            str(language): {
                "good_kept": int((kept & good & (languages == language)).sum()),
                "good_dropped": int((~kept & good & (languages == language)).sum()),
                "bad_kept": int((kept & ~good & (languages == language)).sum()),
                "bad_dropped": int((~kept & ~good & (languages == language)).sum()),
            }
            for language in np.unique(languages)
        },
        "reliability": reliability(scores, good),
        "by_threshold": [
            {"threshold": round(step / 20, 2), **rates(scores >= step / 20, good)}
            for step in range(1, 20)
        ],
    }
