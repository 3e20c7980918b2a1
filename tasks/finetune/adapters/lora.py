"""LoRA: W0 + (alpha / rank) B A, with W0 frozen.

Source: arXiv:2106.09685; PEFT `LoraConfig`.
"""

from __future__ import annotations

from typing import Any, Literal

from tasks.config import Config, knob


class Lora(Config):
    """Low-rank matrices beside the frozen ones."""

    kind: Literal["lora"] = "lora"
    rank: int = knob(32, "rank of the update", ge=1, le=4096)
    alpha: int = knob(64, "the update is scaled by alpha / rank", ge=1)
    targets: tuple[str, ...] = knob(
        (
            "q_proj",
            "k_proj",
            "v_proj",
            "o_proj",
            "gate_proj",
            "up_proj",
            "down_proj",
            "embed_tokens",
            "lm_head",
        ),
        "modules that get an adapter. Embedding and head are among them because the chat tokens "
        "have never been seen in pretraining",
        min_length=1,
    )

    def peft_config(self) -> Any:
        """The `peft.LoraConfig` of this adapter (no dropout: runs are short and deterministic)."""
        from peft import LoraConfig  # 2 s to import, and only wanted where it trains

        return LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=0.0,
            target_modules=list(self.targets),
        )
