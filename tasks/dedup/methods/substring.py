"""Long passages that stand in several places, word for word or byte for byte.

Every run of `size` units, at every place, gets a 64-bit hash; equal hashes are candidates, which
are held against each other byte for byte. So the places that are found are those where a suffix
array has a common prefix of `size` units or more with a neighbour (a test holds them against one).
A suffix array was not taken: it has to be built over all texts at once and takes 8 bytes for each
byte of text in memory (Lee et al.; pydivsufsort stops at what fits memory), where hashes are sorted
in parts on disk, 16 bytes for each unit.

Source: Lee et al., arXiv:2107.06499 §4.1 (ExactSubstr; 50 tokens).
"""

from __future__ import annotations

from typing import ClassVar, Literal

from tasks.config import Config, knob
from tasks.dedup.pieces import Rule


class Substring(Config):
    """Cut out passages that stand elsewhere, or in the same document before.

    The first place, by the rules of `keep` and then from the beginning of a text, stays whole; so
    nothing goes that is not kept in one place at least (unless that document has fewer words than
    `min_words_left`, which no passage of that many words can cause).
    """

    kind: Literal["substring"] = "substring"
    unit: Literal["words", "bytes"] = knob(
        "words",
        "what a passage is counted in. Words stand between white space, which may differ; in "
        "scripts without spaces, each letter is one",
    )
    size: int = knob(
        50,
        "words or bytes of a passage, at least; from 100 on for bytes",
        ge=5,
        le=100_000,
        source="Lee et al., arXiv:2107.06499 §4.1: 50 tokens of a BPE",
    )
    min_words_left: int = knob(
        10,
        "words that are left of a document from which something was cut; one with fewer is dropped",
        ge=0,
    )
    keep_first: ClassVar[bool] = True
    min_characters: ClassVar[int] = 0

    @property
    def width(self) -> int:
        """Units of a piece."""
        return self.size

    def rules(self) -> tuple[Rule, ...]:
        return (Rule(by_domain=False, min_documents=1, min_share=0.0),)
