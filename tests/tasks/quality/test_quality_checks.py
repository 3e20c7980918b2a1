"""What the quality stage is measured by, on figures that it ended with."""

from __future__ import annotations

import pytest

from tasks.checks import Made
from tasks.quality.checks import measures
from tests.tasks.judging import broken, changed

STATS = {
    "classifier": "linear",
    "held_out_auc": 0.95,
    "calibration_error": 0.03,
    "mean_score": 0.4,
}
SCORED = Made(1000, 300, STATS)
UNSCORED = Made(816, 816, {"classifier": "none"})


@pytest.mark.parametrize("made", [SCORED, UNSCORED])
def test_what_is_well_passes(made: Made) -> None:
    assert broken("quality", made) == broken("quality", made, made) == set()
    assert not broken("quality", UNSCORED, UNSCORED)


def test_measures_by_hand() -> None:
    before = Made(1000, 600, {**STATS, "mean_score": 0.3})
    assert measures(SCORED, before) == {
        "growth": -0.5,
        "kept_share": 0.3,
        "held_out_auc": 0.95,
        "calibration_error": 0.03,
        "mean_score_shift": pytest.approx(0.1),
    }
    nothing = measures(UNSCORED, SCORED)
    assert nothing["held_out_auc"] is nothing["mean_score_shift"] is None


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (changed(SCORED, held_out_auc=0.55), {"block held_out_auc", "warn held_out_auc"}),
        (changed(SCORED, held_out_auc=0.7), {"warn held_out_auc"}),
        (changed(SCORED, held_out_auc=None), {"block held_out_auc", "warn held_out_auc"}),
        (changed(SCORED, rows_out=9), {"block kept_share", "warn kept_share"}),
        (changed(SCORED, rows_out=600), {"warn kept_share"}),
        (changed(SCORED, mean_score=0.7), {"warn mean_score_shift"}),
    ],
)
def test_what_goes_wrong_is_noticed(made: Made, said: set[str]) -> None:
    assert broken("quality", made, SCORED) == said
