"""Model architectures as typed configs; torch is imported only when one is built.

A new one: a module here with a typed config, and one line below.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tasks.lm.models.llama import Llama
from tasks.lm.models.qwen3 import Qwen3

Model = Annotated[Qwen3 | Llama, Field(discriminator="kind")]

__all__ = ["Llama", "Model", "Qwen3"]
