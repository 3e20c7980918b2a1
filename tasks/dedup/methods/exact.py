"""Equal text after normalisation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import xxhash

from tasks.config import Config
from tasks.dedup.shingles import Shingled


class Exact(Config):
    """Documents with the same words in the same order are candidates."""

    kind: Literal["exact"] = "exact"

    def prepare(self, threshold: float) -> Callable[[Shingled], list[int]]:
        """A function from a document to the 64-bit keys that its candidates share."""
        return lambda document: [xxhash.xxh3_64_intdigest(" ".join(document.words).encode())]
