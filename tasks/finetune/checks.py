"""What a fine-tuned model is measured by."""

from __future__ import annotations

from typing import ClassVar

from tasks.checks import Check, Measure, relative, stat


class FinetuneCheck(Check):
    """Bounds on one measure of a fine-tuned model."""

    stage = "finetune"
    about: ClassVar = {
        "growth": Measure(
            "trainable parameters, relative to the last version's; it follows from finetune.adapter"
            " and the base model",
            "Set finetune.adapter as it was",
            relative(lambda made: stat(made, "trainable_parameters")),
            compares=True,
        ),
        "pairs_growth": Measure(
            "instruction pairs, relative to the last version's: -0.5 is half of them",
            "See whether the documents shrank as well; if not, finetune.pairs no longer fits them",
            relative(lambda made: made.rows_in),
            compares=True,
        ),
        "held_out_bits_per_byte": Measure(
            "bits that the model needs for a byte of the held-out answers",
            "Lower finetune.learning_rate or raise finetune.epochs",
            lambda made, _: stat(made, "held_out_bits_per_byte"),
        ),
        "gain": Measure(
            "bits per byte of the held-out answers that fine-tuning saves against the base model",
            "Lower finetune.learning_rate, or give it more pairs",
            lambda made, _: (
                stat(made, "held_out_bits_per_byte_before") - stat(made, "held_out_bits_per_byte")
            ),
        ),
    }


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


measures = FinetuneCheck.measures
