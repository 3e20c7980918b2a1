"""What a tokenizer is measured by."""

from __future__ import annotations

from typing import ClassVar

from tasks.checks import Check, Made, Measure, growth, relative, stat


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
        "worst_bytes_per_token": Measure(
            "bytes a token of the language with the least, of those with a hundredth of the text",
            "Raise tokenizer.vocab_size, or give that language more text",
            lambda made, _: min(_by_language(made), default=None),
            may_lack="the tokenizer was made before it was measured",
        ),
        "used_share": Measure(
            "share of the entries (0-1) that occur in a megabyte of the text",
            "Lower tokenizer.vocab_size, or train on more text",
            lambda made, _: stat(made, "used_share") if "used_share" in made.stats else None,
            may_lack="the tokenizer was made before it was measured",
        ),
    }


def _by_language(made: Made) -> list[float]:
    return list(made.stats.get("language_bytes_per_token", {}).values())


# Warnings only: the training of a tokenizer breaks nothing that its input had whole, and a
# vocabulary of bare bytes (1 byte per token) may be meant.
DEFAULTS = (
    TokenizerCheck(measure="text_growth", min=-0.5, severity="warn"),
    # 384 entries reach 2.6 on documentation, 4 096 reach 3.4: under 1.5 hardly a merge is used.
    TokenizerCheck(measure="bytes_per_token", min=1.5, max_fall=0.3, severity="warn"),
)


measures = TokenizerCheck.measures
