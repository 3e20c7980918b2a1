"""Equal text after normalisation."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from tasks.config import Config
from tasks.dedup.documents import Documents
from tasks.similarity.shingles import Hashes, text_hashes


class Exact(Config):
    """Documents with the same words in the same order, letter case and punctuation aside."""

    kind: Literal["exact"] = "exact"
    measure: ClassVar[Literal["jaccard", "cosine"]] = "jaccard"

    def columns(self, threshold: float) -> int:
        return 1

    def keys_of(self, documents: Documents, threshold: float) -> Hashes:
        return documents.map(lambda texts: text_hashes(texts, documents.shingles))[None]

    def least(self, threshold: float) -> float:
        return 1.0

    def basis(self, threshold: float) -> dict[str, Any]:
        return {}
