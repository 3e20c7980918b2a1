"""Ways to find duplicates. A new one: a module here with a typed config, one line below.

A way to find pairs gives each document keys, and two documents that share one are measured:

    columns(threshold)               how many keys a document has
    keys_of(documents, threshold)    the keys of a shard's documents (columns x documents)
    least(threshold)                 similarity from which such a pair are duplicates
    basis(threshold)                 what has to be equal for keys of two runs to be comparable
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tasks.dedup.methods.exact import Exact
from tasks.dedup.methods.minhash import MinHash
from tasks.dedup.methods.url import SameUrl

Method = Annotated[Exact | SameUrl | MinHash, Field(discriminator="kind")]

__all__ = ["Exact", "Method", "MinHash", "SameUrl"]
