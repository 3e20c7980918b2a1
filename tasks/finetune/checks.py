"""What a fine-tuned model is measured by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from tasks.checks import Check, Made, Measure, change, stat
from tasks.config import knob

_ABOUT = {
    "growth": Measure(
        "trainable parameters, relative to the last version's; it follows from finetune.adapter "
        "and the base model",
        "Set finetune.adapter as it was",
        compares=True,
    ),
    "pairs_growth": Measure(
        "instruction pairs, relative to the last version's: -0.5 is half of them",
        "See whether the documents shrank as well; if not, finetune.pairs no longer fits them",
        compares=True,
    ),
    "held_out_bits_per_byte": Measure(
        "bits that the model needs for a byte of the held-out answers",
        "Lower finetune.learning_rate or raise finetune.epochs",
    ),
    "gain": Measure(
        "bits per byte of the held-out answers that fine-tuning saves against the base model",
        "Lower finetune.learning_rate, or give it more pairs",
    ),
}


class FinetuneCheck(Check):
    """Bounds on one measure of a fine-tuned model."""

    stage: ClassVar[str] = "finetune"
    about: ClassVar[Mapping[str, Measure]] = _ABOUT
    measure: Literal["growth", "pairs_growth", "held_out_bits_per_byte", "gain"] = knob(
        ..., "which of the stage's measures"
    )


DEFAULTS = (
    FinetuneCheck(measure="pairs_growth", min=-0.5, severity="warn"),
    # 8 bits for a byte is what one needs who knows nothing at all.
    FinetuneCheck(measure="held_out_bits_per_byte", max=8.0),
    FinetuneCheck(measure="held_out_bits_per_byte", max_rise=0.1, severity="warn"),
    # The base model has never seen a question: who answers a bit per byte worse than it was
    # damaged, who answers no better learnt nothing.
    FinetuneCheck(measure="gain", min=-1.0),
    FinetuneCheck(measure="gain", min=0.0, severity="warn"),
)


def measures(made: Made, last: Made | None) -> dict[str, float | None]:
    """All measures of a fine-tuned model, beside those of the last version if there is one."""
    score = stat(made, "held_out_bits_per_byte")
    return {
        "growth": change(
            stat(made, "trainable_parameters"),
            None if last is None else stat(last, "trainable_parameters"),
        ),
        "pairs_growth": change(made.rows_in, None if last is None else last.rows_in),
        "held_out_bits_per_byte": score,
        "gain": stat(made, "held_out_bits_per_byte_before") - score,
    }
