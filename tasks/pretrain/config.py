"""The knobs of the pretrain stage."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator

from tasks.artifacts.artifact import Artifact
from tasks.artifacts.model import MODEL
from tasks.artifacts.sequences import SEQUENCES
from tasks.artifacts.tokenizer import TOKENIZER
from tasks.checks import CHECKS_SAY, with_defaults
from tasks.config import Config, knob
from tasks.lm.config import ComputeConfig, OptimizerConfig
from tasks.lm.models import Model, Qwen3
from tasks.lm.tracking import TRACKING_SAYS, TensorBoard, Trackers
from tasks.page import Section
from tasks.pretrain.checks import DEFAULTS, PretrainCheck, measures
from tasks.stage import Job, Outcome, Port, Stage


class PretrainConfig(Config):
    """Train a decoder from scratch within a token budget."""

    model: Model = knob(Qwen3(), "the architecture and its size")
    tokens: int = knob(2_000_000, "token budget, rounded down to whole steps", ge=1)
    batch_sequences: int = knob(8, "sequences in one step", ge=1, le=65536)
    optimizer: OptimizerConfig = knob(OptimizerConfig(), "learning rates and their schedule")
    compute: ComputeConfig = knob(ComputeConfig(), "device and arithmetic")
    seed: int = knob(0, "of the initial weights and of the order of the data", ge=0)
    checkpoint_steps: int = knob(
        100, "steps between two checkpoints, which a killed run goes on from", ge=1, identity=False
    )
    tracking: Trackers = knob((TensorBoard(),), TRACKING_SAYS, identity=False)
    checks: Annotated[tuple[PretrainCheck, ...], AfterValidator(with_defaults(DEFAULTS))] = knob(
        DEFAULTS, CHECKS_SAY, identity=False
    )


def _build(job: Job) -> Outcome:
    from tasks.pretrain.task import build  # Prefect: 1.3 s, and only wanted where it runs

    return build(job)


def _sections(artifact: Artifact) -> Iterable[Section]:
    from tasks.lm.page import sections  # pyarrow, and only wanted on a page

    return sections(artifact)


STAGE = Stage(
    name="pretrain",
    says="train a base model within a token budget; a stopped run goes on from its checkpoint",
    config=PretrainConfig,
    version=2,
    output=MODEL,
    build=_build,
    measures=measures,
    ports=(
        Port("sequences", SEQUENCES, recorded_as="shard", made_with="tokenizer"),
        Port("tokenizer", TOKENIZER),
    ),
    score="validation_bits_per_byte",
    grows=False,
    trains=True,
    sections=_sections,
)
