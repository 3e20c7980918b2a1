"""Llama: the decoder that every inference engine reads.

Source: arXiv:2307.09288; transformers `LlamaForCausalLM`.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from tasks.lm.models.shape import DecoderShape


class Llama(DecoderShape):
    """A Llama-shaped decoder."""

    hf_type: ClassVar[str] = "llama"
    hf_architecture: ClassVar[str] = "LlamaForCausalLM"
    qk_norm: ClassVar[bool] = False

    kind: Literal["llama"] = "llama"
