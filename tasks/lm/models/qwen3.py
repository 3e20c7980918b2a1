"""Qwen3: Llama with RMSNorm on queries and keys, which keeps high learning rates stable.

Source: arXiv:2505.09388; transformers `Qwen3ForCausalLM`.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from tasks.lm.models.shape import DecoderShape


class Qwen3(DecoderShape):
    """A Qwen3-shaped decoder."""

    hf_type: ClassVar[str] = "qwen3"
    hf_architecture: ClassVar[str] = "Qwen3ForCausalLM"
    qk_norm: ClassVar[bool] = True

    kind: Literal["qwen3"] = "qwen3"
