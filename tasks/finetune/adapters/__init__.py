"""Adapter methods. A new one: a module here with a typed config, and one line below."""

from __future__ import annotations

from tasks.finetune.adapters.lora import Lora

Adapter = Lora  # becomes a union, discriminated by `kind`, with the second member

__all__ = ["Adapter", "Lora"]
