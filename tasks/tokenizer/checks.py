"""What a tokenizer is measured by."""

from __future__ import annotations

from typing import ClassVar

from tasks.checks import Check, Measure, growth, relative, stat


class TokenizerCheck(Check):
    """Bounds on one measure of a tokenizer."""

    stage = "tokenizer"
    about: ClassVar = {
        "growth": Measure(
            "entries, relative to the last version's; it follows from tokenizer.vocab_size alone",
            "Set tokenizer.vocab_size as it was",
            growth,
            compares=True,
        ),
        "text_growth": Measure(
            "bytes of text it was trained on, relative to the last version's",
            "See which stage before this one lost text",
            relative(lambda made: stat(made, "text_bytes")),
            compares=True,
        ),
        "bytes_per_token": Measure(
            "bytes of text that a token stands for, on a megabyte of the text it was trained on",
            "Raise tokenizer.vocab_size, or set tokenizer.split to what the text is written like",
            lambda made, _: stat(made, "bytes_per_token"),
        ),
    }


# Warnings only: the training of a tokenizer breaks nothing that its input had whole, and a
# vocabulary of bare bytes (1 byte per token) may be meant.
DEFAULTS = (
    TokenizerCheck(measure="text_growth", min=-0.5, severity="warn"),
    # 384 entries reach 2.6 on documentation, 4 096 reach 3.4: under 1.5 hardly a merge is used.
    TokenizerCheck(measure="bytes_per_token", min=1.5, max_fall=0.3, severity="warn"),
)


measures = TokenizerCheck.measures
