"""The knobs of the quality stage."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from tasks import rates
from tasks.artifacts.artifact import Artifact
from tasks.artifacts.documents import DOCUMENTS
from tasks.artifacts.scores import SCORES
from tasks.checks import CHECKS_SAY, with_defaults
from tasks.config import Config, knob
from tasks.page import Section
from tasks.quality.checks import DEFAULTS, QualityCheck, measures
from tasks.quality.classifiers import Classifier
from tasks.stage import Job, Outcome, Port, Stage

Probability = Annotated[float, Field(ge=0, le=1)]
EVEN = 0.5
"""The threshold that an evaluation is made at where a recipe sets none."""


class QualityConfig(Config):
    """Score every document by a classifier, and leave out those that score low."""

    classifier: Classifier | None = knob(
        None, "what scores the documents. Null: nothing is scored, and all of them pass"
    )
    action: Literal["filter", "score"] = knob(
        "filter", "filter: documents that score low are dropped; score: all stay, with their scores"
    )
    threshold: Probability | None = knob(
        None,
        "score (0-1) from which a document is kept: the probability of being good, if good and bad "
        "were as many",
    )
    keep_share: float | None = knob(
        None,
        "in place of `threshold`: the share (0-1) of all documents that is kept, those that score "
        "best; of equal ones those whose ids come first",
        gt=0,
        le=1,
        source="DCLM kept 0.1, arXiv:2406.11794 §4.4",
    )
    thresholds: dict[str, Probability] = knob(
        {},
        "by ISO 639 code of a document's language, what takes the place of `threshold`, such as "
        "{vi: 0.3}: examples in few languages score the others lower",
    )
    checks: Annotated[tuple[QualityCheck, ...], AfterValidator(with_defaults(DEFAULTS))] = knob(
        DEFAULTS, CHECKS_SAY, identity=False
    )

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.classifier is None:
            idle = [name for name in ("threshold", "keep_share", "thresholds") if self._sets(name)]
            if idle:
                raise ValueError(
                    f"{' and '.join(idle)} without a classifier would keep or drop nothing; "
                    "expected a `classifier`, or none of them"
                )
            return self
        if self.threshold is not None and self.keep_share is not None:
            raise ValueError(
                f"threshold {self.threshold:g} and keep_share {self.keep_share:g} exclude each "
                "other; expected one of them"
            )
        if self.action == "filter" and self.threshold is None and self.keep_share is None:
            raise ValueError(
                "action filter has no bound; expected a `threshold` or a `keep_share`, or "
                "`action: score`, which keeps everything"
            )
        if self.thresholds and self.threshold is None:
            raise ValueError(
                f"thresholds of {sorted(self.thresholds)} without `threshold`; expected one for "
                "all other languages, too"
            )
        return self

    def _sets(self, name: str) -> bool:
        return dict(self)[name] not in (None, {})


def _build(job: Job) -> Outcome:
    from tasks.quality.task import build  # Prefect: 1.3 s, and only wanted where it runs

    return build(job)


def _sections(artifact: Artifact) -> Iterable[Section]:
    from tasks.quality.page import sections  # pyarrow, and only wanted on a page

    return sections(artifact)


STAGE = Stage(
    name="quality",
    says="score documents by a classifier; those that score low go no further",
    config=QualityConfig,
    version=1,
    output=SCORES,
    build=_build,
    measures=measures,
    forecast=rates.quality,
    ports=(Port("documents", DOCUMENTS, recorded_as="clean"),),
    selects=True,
    maps=True,
    sections=_sections,
)
