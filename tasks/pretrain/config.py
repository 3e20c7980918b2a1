"""The knobs of the pretrain stage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated

from pydantic import AfterValidator

from storage.errors import Fault
from tasks import rates
from tasks.artifacts.artifact import Artifact
from tasks.artifacts.model import MODEL
from tasks.artifacts.sequences import SEQUENCES
from tasks.artifacts.tokenizer import TOKENIZER
from tasks.checks import CHECKS_SAY, with_defaults
from tasks.config import Config, knob
from tasks.foresight import Known
from tasks.lm.config import VALIDATION_OFF, VALIDATION_SAYS, ComputeConfig, Validation
from tasks.lm.models import Model, Qwen3
from tasks.lm.optimizers import Muon, Optimizer
from tasks.lm.tracking import TRACKING_SAYS, TensorBoard, Trackers
from tasks.page import Section
from tasks.pretrain.checks import DEFAULTS, PretrainCheck, measures
from tasks.stage import Job, Outcome, Port, Stage


class PretrainConfig(Config):
    """Train a decoder from scratch within a token budget."""

    model: Model = knob(Qwen3(), "the architecture and its size")
    tokens: int = knob(2_000_000, "token budget, rounded down to whole steps", ge=1, le=10**15)
    batch_sequences: int = knob(8, "sequences in one step", ge=1, le=65536)
    isolate_documents: bool = knob(
        True,
        "documents of one sequence do not see each other, and their positions begin anew",
        neutral=False,
    )
    optimizer: Optimizer = knob(Muon(), "learning rates and their schedule")
    compute: ComputeConfig = knob(ComputeConfig(), "device and arithmetic")
    validation: Validation = knob(Validation(), VALIDATION_SAYS, neutral=VALIDATION_OFF)
    seed: int = knob(0, "of the initial weights and of the order of the data", ge=0)
    checkpoint_steps: int = knob(
        100, "steps between two checkpoints, which a killed run goes on from", ge=1, identity=False
    )
    tracking: Trackers = knob((TensorBoard(),), TRACKING_SAYS, identity=False)
    checks: Annotated[tuple[PretrainCheck, ...], AfterValidator(with_defaults(DEFAULTS))] = knob(
        DEFAULTS, CHECKS_SAY, identity=False
    )

    def foreseen(self, known: Known) -> Iterator[Fault]:
        """A budget or data of less than one step, and devices without a sequence."""
        size, length = self.batch_sequences, known.knob("sequences", "sequence_length")
        if self.compute.devices > size:
            found = f"{self.compute.devices} devices for batches of {size} sequences"
            remedy = f"Set this to {size} or less, or raise batch_sequences."
            expected, code = "at least one sequence for each", "more_devices_than_sequences"
            yield Fault("compute.devices", found, expected, remedy, code)
        if length is None:
            return
        step = f"{size * length:,}, one step ({size} sequences of {length})"
        there = known.stat("sequences", "train_tokens")
        if self.tokens < size * length:
            expected, remedy = f"at least {step}", "Raise it, or lower batch_sequences."
            yield Fault("tokens", f"{self.tokens:,}", expected, remedy, "budget_below_a_step")
        if there is not None and there < size * length:
            found = f"{step}, of {there:,} tokens to train on"
            expected = "no step with more tokens than there are"
            remedy = "Lower it, or train on more text."
            yield Fault("batch_sequences", found, expected, remedy, "corpus_below_a_step")


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
    forecast=rates.pretrain,
    ports=(
        Port("sequences", SEQUENCES, recorded_as="shard", made_with="tokenizer"),
        Port("tokenizer", TOKENIZER),
    ),
    score="validation_bits_per_byte",
    grows=False,
    trains=True,
    sections=_sections,
)
