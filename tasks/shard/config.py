"""The knobs of the shard stage."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, model_validator

from tasks import rates
from tasks.artifacts.artifact import Artifact
from tasks.artifacts.documents import DOCUMENTS
from tasks.artifacts.sequences import SEQUENCES
from tasks.artifacts.tokenizer import TOKENIZER
from tasks.checks import CHECKS_SAY, with_defaults
from tasks.config import Config, Misfit, knob
from tasks.page import Section
from tasks.shard.checks import DEFAULTS, ShardCheck, measures
from tasks.shard.mixture import Mixture, is_mixture
from tasks.shard.split import ByCluster, Split
from tasks.stage import Job, Outcome, Port, Stage

Packing = Literal["concatenate", "best_fit"]


class ShardConfig(Config):
    """Tokenize, hold documents out, pack into sequences."""

    sequence_length: int = knob(1024, "tokens predicted in one sequence", ge=8, le=1 << 20)
    split: Split = knob(
        ByCluster(),
        "what stays together when documents are held out (docs/tokens.md)",
        neutral={"kind": "url"},
    )
    validation_share: float = knob(
        0.05,
        "share of documents held out to score models by, 0-1; which ones follows from the URLs of "
        "what stays together, so a page that changes stays on its side",
        gt=0,
        lt=1,
    )
    packing: Packing = knob(
        "concatenate",
        "how documents fill sequences. concatenate: one after the other, cut where a sequence is "
        "full. best_fit: none is cut that fits into a sequence (docs/tokens.md)",
        neutral="concatenate",
    )
    test_share: float = knob(
        0.0,
        "share of documents held out besides, 0-1, which nothing here reads",
        ge=0,
        lt=1,
        neutral=0.0,
    )
    split_seed: int = knob(0, "of the choice of held-out documents", ge=0)
    mixture: Annotated[Mixture, AfterValidator(is_mixture)] = knob(
        (),
        "groups of documents of which more or less is trained on, each document in the first that "
        "it fits; those that fit none are trained on once. What is held out stays as it is",
        neutral=[],
    )
    checks: Annotated[tuple[ShardCheck, ...], AfterValidator(with_defaults(DEFAULTS))] = knob(
        DEFAULTS, CHECKS_SAY, identity=False
    )

    @model_validator(mode="after")
    def _trains_on_some(self) -> Self:
        if self.validation_share + self.test_share >= 1:
            found = f"validation_share {self.validation_share} and test_share {self.test_share}"
            raise Misfit(found, "a sum below 1", code="nothing_to_train_on")
        return self


def _build(job: Job) -> Outcome:
    from tasks.shard.task import build  # Prefect: 1.3 s, and only wanted where it runs

    return build(job)


def _sections(artifact: Artifact) -> Iterable[Section]:
    from tasks.shard.page import sections  # only wanted on a page

    return sections(artifact)


STAGE = Stage(
    name="shard",
    says="tokenize documents, hold some out, pack them into sequences",
    config=ShardConfig,
    version=2,
    output=SEQUENCES,
    build=_build,
    measures=measures,
    forecast=rates.shard,
    ports=(
        Port("documents", DOCUMENTS, recorded_as="dedup"),
        Port("tokenizer", TOKENIZER),
    ),
    parts={"train_tokens": "tokens to train on", "validation_tokens": "tokens held out"},
    leaves_out=True,
    maps=True,
    sections=_sections,
)
