"""Ways to build instruction pairs from documents. A new one: a module here, and one line below."""

from __future__ import annotations

from tasks.finetune.pairs.definitions import Definitions

PairSource = Definitions  # becomes a union, discriminated by `kind`, with the second member

__all__ = ["Definitions", "PairSource"]
