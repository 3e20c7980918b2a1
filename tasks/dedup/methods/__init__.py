"""Ways to find candidate pairs. A new one: a module here with a typed config, one line below."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tasks.dedup.methods.exact import Exact
from tasks.dedup.methods.minhash import MinHash

Method = Annotated[Exact | MinHash, Field(discriminator="kind")]

__all__ = ["Exact", "Method", "MinHash"]
