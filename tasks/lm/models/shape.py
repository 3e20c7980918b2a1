"""The knobs that all decoder-only transformers share, and their `config.json`."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from pydantic import model_validator

from tasks.config import Config, Misfit, knob

_HF_NAMES = {
    "num_layers": "num_hidden_layers",
    "hidden_size": "hidden_size",
    "intermediate_size": "intermediate_size",
    "num_heads": "num_attention_heads",
    "num_kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "norm_eps": "rms_norm_eps",
    "tie_embeddings": "tie_word_embeddings",
}
"""Knobs by their names in transformers."""


class DecoderShape(Config):
    """A pre-norm decoder with rotary positions, SwiGLU and grouped-query attention, no biases."""

    hf_type: ClassVar[str]
    hf_architecture: ClassVar[str]
    qk_norm: ClassVar[bool]

    num_layers: int = knob(6, "transformer blocks", ge=1, le=512)
    hidden_size: int = knob(256, "width of the residual stream", ge=8, le=65536, multiple_of=2)
    intermediate_size: int = knob(768, "width of the feed-forward part", ge=8, le=1 << 20)
    num_heads: int = knob(4, "query heads", ge=1, le=1024)
    num_kv_heads: int = knob(4, "key and value heads; query heads share them evenly", ge=1, le=1024)
    head_dim: int = knob(64, "width of a head", ge=2, le=1024, multiple_of=2)
    rope_theta: float = knob(
        10_000.0, "base of the rotary frequencies", gt=0, source="RoFormer, arXiv:2104.09864"
    )
    norm_eps: float = knob(1e-6, "added to the mean square in RMSNorm", gt=0)
    tie_embeddings: bool = knob(False, "one matrix for the embedding and the output head")

    @model_validator(mode="after")
    def _heads_divide(self) -> DecoderShape:
        if self.num_heads % self.num_kv_heads:
            heads, shared = self.num_heads, self.num_kv_heads
            fitting = (str(n) for n in range(1, heads + 1) if heads % n == 0)
            raise Misfit(
                f"num_heads={heads} is no multiple of num_kv_heads={shared}",
                "query heads to share key and value heads evenly",
                f"Set num_kv_heads to one of {', '.join(fitting)}.",
                code="heads_do_not_divide",
                at="num_kv_heads",
            )
        return self

    def matrices(self, vocab_size: int) -> dict[str, tuple[int, int, int]]:
        """Give, by the names of modules, how many there are, and rows and columns of each."""
        layers, width, inner = self.num_layers, self.hidden_size, self.intermediate_size
        query, key = self.num_heads * self.head_dim, self.num_kv_heads * self.head_dim
        head = {} if self.tie_embeddings else {"lm_head": (1, vocab_size, width)}
        return {
            "q_proj": (layers, query, width),
            "k_proj": (layers, key, width),
            "v_proj": (layers, key, width),
            "o_proj": (layers, width, query),
            "gate_proj": (layers, inner, width),
            "up_proj": (layers, inner, width),
            "down_proj": (layers, width, inner),
            "embed_tokens": (1, vocab_size, width),
            **head,
        }

    def num_parameters(self, vocab_size: int) -> int:
        """Count the weights but for the norms', which are under one in a thousand."""
        return sum(math.prod(size) for size in self.matrices(vocab_size).values())

    def num_multiplied(self, vocab_size: int) -> int:
        """Count the weights that a token is multiplied with: not those of an embedding alone."""
        looked_up = 0 if self.tie_embeddings else vocab_size * self.hidden_size
        return self.num_parameters(vocab_size) - looked_up

    def hf_config(
        self, vocab_size: int, context: int, begin: int, end_of_text: int, pad: int | None
    ) -> dict[str, Any]:
        """The `config.json` of the equal transformers model, with old and new rotary fields."""
        return {
            "architectures": [self.hf_architecture],
            "model_type": self.hf_type,
            "vocab_size": vocab_size,
            "max_position_embeddings": context,
            **{theirs: getattr(self, ours) for ours, theirs in _HF_NAMES.items()},
            "rope_theta": self.rope_theta,
            "rope_parameters": {"rope_type": "default", "rope_theta": self.rope_theta},
            "hidden_act": "silu",
            "attention_bias": False,
            "attention_dropout": 0.0,
            "mlp_bias": False,
            "use_sliding_window": False,
            "use_cache": True,
            "dtype": "float32",
            "bos_token_id": begin,
            "eos_token_id": end_of_text,
            "pad_token_id": pad,
        }

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> DecoderShape:
        """The shape that a `config.json` of ours describes."""
        knobs = {ours: config[theirs] for ours, theirs in _HF_NAMES.items()}
        return cls(rope_theta=config["rope_parameters"]["rope_theta"], **knobs)
