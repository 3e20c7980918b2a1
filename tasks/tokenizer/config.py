"""The knobs of the tokenizer stage."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from tasks.checks import CHECKS_SAY, with_defaults
from tasks.config import Config, knob
from tasks.lm.tokens import SPECIAL_TOKENS, Split
from tasks.tokenizer.checks import DEFAULTS, TokenizerCheck

VERSION = 1
INPUTS = ("dedup",)

SMALLEST_VOCABULARY = 256 + len(SPECIAL_TOKENS)


class TokenizerConfig(Config):
    """Train a byte-level BPE on the documents."""

    vocab_size: int = knob(
        32_768,
        "entries, with the 256 bytes and the special tokens",
        ge=SMALLEST_VOCABULARY,
        le=1 << 20,
    )
    split: Split = knob("qwen2", "the pre-tokenizer whose pattern splits text before merging")
    min_frequency: int = knob(2, "occurrences that a pair needs to be merged", ge=1)
    checks: Annotated[tuple[TokenizerCheck, ...], AfterValidator(with_defaults(DEFAULTS))] = knob(
        DEFAULTS, CHECKS_SAY, identity=False
    )
