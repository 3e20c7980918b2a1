"""What a base model is measured by."""

from __future__ import annotations

from typing import ClassVar

from tasks.checks import Check, Measure, relative, stat


class PretrainCheck(Check):
    """Bounds on one measure of a base model."""

    stage = "pretrain"
    about: ClassVar = {
        "growth": Measure(
            "parameters, relative to the last version's; it follows from pretrain.model and the "
            "vocabulary",
            "Set pretrain.model as it was",
            relative(lambda made: stat(made, "parameters")),
            compares=True,
        ),
        "validation_bits_per_byte": Measure(
            "bits that the model needs for a byte of the held-out documents",
            "Lower pretrain.optimizer.matrix_lr, raise pretrain.tokens, or see in training.parquet "
            "where the loss turned",
            lambda made, _: stat(made, "validation_bits_per_byte"),
        ),
        "last_loss": Measure(
            "mean loss of the last step, in nats per token",
            "Lower pretrain.optimizer.matrix_lr or lengthen pretrain.optimizer.warmup",
            lambda made, _: stat(made, "last_loss"),
        ),
        "gain_over_unigram": Measure(
            "bits per byte that the model saves against counting single tokens",
            "Raise pretrain.tokens, or see in training.parquet whether the loss fell at all",
            lambda made, _: (
                stat(made, "unigram_bits_per_byte") - stat(made, "validation_bits_per_byte")
            ),
        ),
        "epochs": Measure(
            "passes over the training tokens within the budget",
            "Lower pretrain.tokens or crawl more pages",
            lambda made, _: stat(made, "epochs"),
        ),
    }


DEFAULTS = (
    # 8 bits for a byte is what one needs who knows nothing at all.
    PretrainCheck(measure="validation_bits_per_byte", max=8.0),
    PretrainCheck(measure="validation_bits_per_byte", max_rise=0.1, severity="warn"),
    # Knowing nothing costs ln(vocab_size) nats a token: 13.9 for the largest that is allowed.
    PretrainCheck(measure="last_loss", max=20.0),
    # Worse than counting tokens: nothing of their order was learnt.
    PretrainCheck(measure="gain_over_unigram", min=0.0, severity="warn"),
    # Four passes are as good as new text, from about sixteen on little is gained
    # (Muennighoff et al., arXiv:2305.16264).
    PretrainCheck(measure="epochs", max=16.0, severity="warn"),
)


measures = PretrainCheck.measures
