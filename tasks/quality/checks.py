"""What the quality stage is measured by."""

from __future__ import annotations

from typing import ClassVar

from tasks.checks import Check, Made, Measure, growth, share, stat

_UNSCORED = "no classifier is on, so there is nothing to measure"


def _is_scored(made: Made) -> bool:
    return bool(made.stats.get("classifier") != "none")


def _mean_score_shift(made: Made, last: Made | None) -> float | None:
    before = None if last is None else last.stats.get("mean_score")
    if not _is_scored(made) or not isinstance(before, int | float):
        return None
    return stat(made, "mean_score") - float(before)


class QualityCheck(Check):
    """Bounds on one measure of the quality stage."""

    stage = "quality"
    about: ClassVar = {
        "growth": Measure(
            "documents kept, relative to the last version's: -0.5 is half of them",
            "See whether the clean stage shrank as well, and the scores of what rejects/ names",
            growth,
            compares=True,
        ),
        "kept_share": Measure(
            "share of the documents (0-1) that were kept",
            "Look at the histogram and the sample texts on the run's page; set another "
            "quality.threshold, or quality.action: score",
            lambda made, _: share(made.rows_out, made.rows_in),
        ),
        "held_out_auc": Measure(
            "how often a good example that was held out scores above a bad one (0-1; 0.5 is "
            "chance)",
            "Read evaluation.json: give more examples, and such as differ in what you mean by "
            "quality",
            lambda made, _: stat(made, "held_out_auc") if _is_scored(made) else None,
            may_lack=_UNSCORED,
        ),
        "calibration_error": Measure(
            "mean distance (0-1) between a score and how many of the held-out examples with that "
            "score are good, both sides weighed the same (expected calibration error, 15 bins)",
            "Do not read scores as probabilities, or give more examples; fewer epochs overfit less",
            lambda made, _: stat(made, "calibration_error") if _is_scored(made) else None,
            may_lack=_UNSCORED,
        ),
        "mean_score_shift": Measure(
            "mean score of all documents, less that of the last version. A crawl that brought other"
            " text, or another model, shows here",
            "Compare the samples on both runs' pages; look at what the crawl brought",
            _mean_score_shift,
            compares=True,
        ),
    }


DEFAULTS = (
    # Hardly better than a coin: what it drops is noise.
    QualityCheck(measure="held_out_auc", min=0.6),
    QualityCheck(measure="held_out_auc", min=0.8, severity="warn"),
    # DCLM keeps a tenth; a hundredth is a threshold, or examples, that do not fit the corpus.
    QualityCheck(measure="kept_share", min=0.01, max_fall=0.5),
    QualityCheck(measure="kept_share", max_rise=0.2, max_fall=0.2, severity="warn"),
    QualityCheck(measure="mean_score_shift", min=-0.2, max=0.2, severity="warn"),
)


measures = QualityCheck.measures
