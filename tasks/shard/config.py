"""The knobs of the shard stage."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator

from tasks import rates
from tasks.artifacts.documents import DOCUMENTS
from tasks.artifacts.sequences import SEQUENCES
from tasks.artifacts.tokenizer import TOKENIZER
from tasks.checks import CHECKS_SAY, with_defaults
from tasks.config import Config, knob
from tasks.shard.checks import DEFAULTS, ShardCheck, measures
from tasks.stage import Job, Outcome, Port, Stage

Packing = Literal["concatenate", "best_fit"]


class ShardConfig(Config):
    """Tokenize, split by document, pack into sequences."""

    sequence_length: int = knob(1024, "tokens predicted in one sequence", ge=8, le=1 << 20)
    validation_share: float = knob(
        0.05,
        "share of documents held out, 0-1; which ones follows from their URL, so a page that "
        "changes stays on its side",
        gt=0,
        lt=1,
    )
    packing: Packing = knob(
        "concatenate",
        "how documents fill sequences. concatenate: one after the other, cut where a sequence is "
        "full. best_fit: none is cut that fits into a sequence (docs/tokens.md)",
        neutral="concatenate",
    )
    split_seed: int = knob(0, "of the choice of held-out documents", ge=0)
    checks: Annotated[tuple[ShardCheck, ...], AfterValidator(with_defaults(DEFAULTS))] = knob(
        DEFAULTS, CHECKS_SAY, identity=False
    )


def _build(job: Job) -> Outcome:
    from tasks.shard.task import build  # Prefect: 1.3 s, and only wanted where it runs

    return build(job)


STAGE = Stage(
    name="shard",
    says="tokenize documents, split them by document, pack them into sequences",
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
)
