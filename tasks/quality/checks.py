"""What the quality stage is measured by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from tasks.checks import Check, Made, Measure, growth, share, stat
from tasks.config import knob

_UNSCORED = "no classifier is on, so there is nothing to measure"

_ABOUT = {
    "growth": Measure(
        "documents kept, relative to the last version's: -0.5 is half of them",
        "See whether the clean stage shrank as well, and the scores of what rejects/ names",
        compares=True,
    ),
    "kept_share": Measure(
        "share of the documents (0-1) that were kept",
        "Look at the histogram and the sample texts on the run's page; set another "
        "quality.threshold, or quality.action: score",
    ),
    "held_out_auc": Measure(
        "how often a good example that was held out scores above a bad one (0-1; 0.5 is chance)",
        "Read evaluation.json: give more examples, and such as differ in what you mean by quality",
        may_lack=_UNSCORED,
    ),
    "calibration_error": Measure(
        "mean distance (0-1) between a score and how many of the held-out examples with that score "
        "are good, both sides weighed the same (expected calibration error, 15 bins)",
        "Do not read scores as probabilities, or give more examples; fewer epochs overfit less",
        may_lack=_UNSCORED,
    ),
    "mean_score_shift": Measure(
        "mean score of all documents, less that of the last version. A crawl that brought other "
        "text, or another model, shows here",
        "Compare the samples on both runs' pages; look at what the crawl brought",
        compares=True,
    ),
}


class QualityCheck(Check):
    """Bounds on one measure of the quality stage."""

    stage: ClassVar[str] = "quality"
    about: ClassVar[Mapping[str, Measure]] = _ABOUT
    measure: Literal[
        "growth", "kept_share", "held_out_auc", "calibration_error", "mean_score_shift"
    ] = knob(..., "which of the stage's measures")


DEFAULTS = (
    # Hardly better than a coin: what it drops is noise.
    QualityCheck(measure="held_out_auc", min=0.6),
    QualityCheck(measure="held_out_auc", min=0.8, severity="warn"),
    # DCLM keeps a tenth; a hundredth is a threshold, or examples, that do not fit the corpus.
    QualityCheck(measure="kept_share", min=0.01, max_fall=0.5),
    QualityCheck(measure="kept_share", max_rise=0.2, max_fall=0.2, severity="warn"),
    QualityCheck(measure="mean_score_shift", min=-0.2, max=0.2, severity="warn"),
)


def measures(made: Made, last: Made | None) -> dict[str, float | None]:
    """All measures of the quality stage, beside those of the last version if there is one."""
    scored = made.stats.get("classifier") != "none"
    before = None if last is None else last.stats.get("mean_score")
    return {
        "growth": growth(made, last),
        "kept_share": share(made.rows_out, made.rows_in),
        "held_out_auc": stat(made, "held_out_auc") if scored else None,
        "calibration_error": stat(made, "calibration_error") if scored else None,
        "mean_score_shift": (
            stat(made, "mean_score") - float(before)
            if scored and isinstance(before, int | float)
            else None
        ),
    }
