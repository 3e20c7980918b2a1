"""What an evaluation says, against counting pairs and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.quality.evaluation import area_under_curve, calibration_error, evaluate, rates
from tasks.quality.train import HeldOut

_CASES = st.lists(st.tuples(st.sampled_from([0.0, 0.2, 0.5, 0.7, 1.0]), st.booleans()), max_size=30)


@given(_CASES)
def test_the_area_is_how_often_a_good_one_wins(cases: list[tuple[float, bool]]) -> None:
    goods = [score for score, good in cases if good]
    bads = [score for score, good in cases if not good]
    scores, labels = np.array([c[0] for c in cases]), np.array([c[1] for c in cases], bool)
    found = area_under_curve(scores, labels)
    if not goods or not bads:
        assert math.isnan(found)
        return
    won = sum((good > bad) + (good == bad) / 2 for good in goods for bad in bads)
    assert found == pytest.approx(won / (len(goods) * len(bads)))


def test_calibration_by_hand() -> None:
    """Four good and one bad, each side weighing a half."""
    scores, good = np.array([0.9, 0.9, 0.9, 0.1, 0.1]), np.array([1, 1, 1, 1, 0], bool)
    # At 0.9 all are good, of weight 3/8; at 0.1 a good one of 1/8 and a bad one of 4/8.
    wanted = 3 / 8 * 0.1 + 5 / 8 * abs(0.1 - 1 / 5)
    assert calibration_error(scores, good) == pytest.approx(wanted, abs=1e-5)


def test_rates_weigh_both_sides_the_same() -> None:
    kept, good = np.array([1, 1, 0, 1, 0, 0, 0], bool), np.array([1, 1, 1, 0, 0, 0, 0], bool)
    assert rates(kept, good) == {
        "precision": 0.7273, "recall": 0.6667, "f1": 0.6957, "bad_kept": 0.25
    }  # fmt: skip
    assert rates(~kept & False, good)["precision"] == 0


def test_an_evaluation_is_told_by_language() -> None:
    held = HeldOut((1, 1, 0, 0), (0.8, 0.4, 0.6, 0.1), ("en", "vi", "en", ""))
    told = evaluate(held, lambda language: {"vi": 0.3}.get(language, 0.5))
    assert told["auc"] == 0.75 and told["threshold"] == 0.5
    assert told["confusion"]["vi"]["good_kept"] == 1
    assert told["confusion"]["en"] == {
        "good_kept": 1, "good_dropped": 0, "bad_kept": 1, "bad_dropped": 0
    }  # fmt: skip
    assert told["confusion"]["unknown"]["bad_dropped"] == 1
    assert told["by_threshold"][9] == {"threshold": 0.5, **rates(
        np.array([1, 0, 1, 0], bool), np.array([1, 1, 0, 0], bool))}  # fmt: skip
