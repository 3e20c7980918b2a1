"""What a tokenizer is measured by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from tasks.checks import Check, Made, Measure, change, growth, stat
from tasks.config import knob

_ABOUT = {
    "growth": Measure(
        "entries, relative to the last version's; it follows from tokenizer.vocab_size alone",
        "Set tokenizer.vocab_size as it was",
        compares=True,
    ),
    "text_growth": Measure(
        "bytes of text it was trained on, relative to the last version's",
        "See which stage before this one lost text",
        compares=True,
    ),
    "bytes_per_token": Measure(
        "bytes of text that a token stands for, on a megabyte of the text it was trained on",
        "Raise tokenizer.vocab_size, or set tokenizer.split to what the text is written like",
    ),
}


class TokenizerCheck(Check):
    """Bounds on one measure of a tokenizer."""

    stage: ClassVar[str] = "tokenizer"
    about: ClassVar[Mapping[str, Measure]] = _ABOUT
    measure: Literal["growth", "text_growth", "bytes_per_token"] = knob(
        ..., "which of the stage's measures"
    )


# Warnings only: the training of a tokenizer breaks nothing that its input had whole, and a
# vocabulary of bare bytes (1 byte per token) may be meant.
DEFAULTS = (
    TokenizerCheck(measure="text_growth", min=-0.5, severity="warn"),
    # 384 entries reach 2.6 on documentation, 4 096 reach 3.4: under 1.5 hardly a merge is used.
    TokenizerCheck(measure="bytes_per_token", min=1.5, max_fall=0.3, severity="warn"),
)


def measures(made: Made, last: Made | None) -> dict[str, float | None]:
    """All measures of a tokenizer, beside those of the last version if there is one."""
    before = None if last is None else stat(last, "text_bytes")
    return {
        "growth": growth(made, last),
        "text_growth": change(stat(made, "text_bytes"), before),
        "bytes_per_token": stat(made, "bytes_per_token"),
    }
