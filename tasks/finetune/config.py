"""The knobs of the finetune stage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated

from pydantic import AfterValidator

from storage.errors import Fault, suggestion
from tasks import rates
from tasks.artifacts.adapter import ADAPTER
from tasks.artifacts.artifact import Artifact
from tasks.artifacts.documents import DOCUMENTS
from tasks.artifacts.model import MODEL
from tasks.checks import CHECKS_SAY, with_defaults
from tasks.config import Config, knob
from tasks.finetune.adapters import Adapter, Lora
from tasks.finetune.checks import DEFAULTS, FinetuneCheck, measures
from tasks.finetune.pairs import Definitions, PairSource
from tasks.foresight import Known
from tasks.lm.config import (
    CLIP_SAYS,
    FLOOR_SAYS,
    SHAPE_SAYS,
    VALIDATION_OFF,
    VALIDATION_SAYS,
    ComputeConfig,
    CooldownShape,
    Validation,
)
from tasks.lm.tracking import TRACKING_SAYS, TensorBoard, Trackers
from tasks.page import Section
from tasks.stage import Job, Outcome, Port, Rewriting, Stage


class FinetuneConfig(Config):
    """Build instruction pairs from the documents, train an adapter on them, merge it."""

    pairs: PairSource = knob(Definitions(), "where the instruction pairs come from")
    held_out_share: float = knob(
        0.05,
        "share of names kept for validation, 0-1; which ones follows from the name alone",
        gt=0,
        lt=1,
    )
    adapter: Adapter = knob(Lora(), "the adapter method")
    epochs: int = knob(2, "passes over the pairs", ge=1, le=1000)
    batch_tokens: int = knob(1536, "padded tokens in one step", ge=16)
    learning_rate: float = knob(2e-3, "AdamW's peak rate", gt=0, le=1)
    warmup: float = knob(0.05, "share of the steps that warm up, 0-1", ge=0, le=1)
    cooldown: float = knob(0.6, "share of the steps that cool down to zero, 0-1", ge=0, le=1)
    cooldown_shape: CooldownShape = knob("linear", SHAPE_SAYS, neutral="linear")
    floor: float = knob(0.0, FLOOR_SAYS, ge=0, le=1, neutral=0.0)
    clip: float | None = knob(None, CLIP_SAYS, gt=0, neutral=None)
    compute: ComputeConfig = knob(ComputeConfig(), "device and arithmetic")
    validation: Validation = knob(Validation(), VALIDATION_SAYS, neutral=VALIDATION_OFF)
    seed: int = knob(0, "of the adapter's initial weights and of the order of the pairs", ge=0)
    checkpoint_steps: int = knob(
        100, "steps between two checkpoints, which a killed run goes on from", ge=1, identity=False
    )
    tracking: Trackers = knob((TensorBoard(),), TRACKING_SAYS, identity=False)
    checks: Annotated[tuple[FinetuneCheck, ...], AfterValidator(with_defaults(DEFAULTS))] = knob(
        DEFAULTS, CHECKS_SAY, identity=False
    )

    def foreseen(self, known: Known) -> Iterator[Fault]:
        """Targets that the model lacks."""
        shape = known.knob("model", "model")
        there = shape.matrices(1) if shape else self.adapter.targets
        lacking = sorted(set(self.adapter.targets).difference(there))
        if lacking:
            expected = f"some of {', '.join(there)} (a tied model has no lm_head)"
            where, remedy = "adapter.targets", suggestion(lacking[0], there, "Leave them out.")
            yield Fault(where, ", ".join(lacking), expected, remedy, "unknown_targets")


def _build(job: Job) -> Outcome:
    from tasks.finetune.task import build  # Prefect: 1.3 s, and only wanted where it runs

    return build(job)


def _sections(artifact: Artifact) -> Iterable[Section]:
    from tasks.lm.page import sections  # pyarrow, and only wanted on a page

    return sections(artifact)


def _rewrite(job: Rewriting) -> Outcome:
    from tasks.finetune.rewrite import rewrite  # pyarrow: 0.2 s, and only wanted where it runs

    return rewrite(job)


STAGE = Stage(
    name="finetune",
    says="train an adapter on instruction pairs from the documents, and merge it",
    config=FinetuneConfig,
    version=3,
    output=ADAPTER,
    build=_build,
    measures=measures,
    forecast=rates.finetune,
    ports=(
        Port("documents", DOCUMENTS, recorded_as="dedup"),
        Port("model", MODEL, recorded_as="pretrain"),
    ),
    score="held_out_bits_per_byte",
    takes="pairs",
    parts={"pairs": "pairs to train on", "held_out_pairs": "pairs held out"},
    grows=False,
    trains=True,
    sections=_sections,
    rewrite=_rewrite,
)
