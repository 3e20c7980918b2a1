"""Ways to find duplicates. A new one: a module here with a typed config, one line below.

A way to find pairs gives each document keys, and two documents that share one are measured:

    columns(threshold)               how many keys a document has
    keys_of(documents, threshold)    the keys of a shard's documents (columns x documents)
    least(threshold)                 similarity from which such a pair are duplicates
    basis(threshold)                 what has to be equal for keys of two runs to be comparable

A way to find repeats in texts says what a piece of text is, and from when on it is a repeat:

    unit, width                      a piece is so many lines, paragraphs, words or bytes
    min_characters                   of a piece of one unit
    rules()                          in how many places, documents, of which share of them
    keep_first                       whether the best document keeps it
    min_words_left                   a document that is left with fewer is dropped
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tasks.dedup.methods.exact import Exact
from tasks.dedup.methods.lines import Lines
from tasks.dedup.methods.minhash import MinHash
from tasks.dedup.methods.semantic import Semantic
from tasks.dedup.methods.substring import Substring
from tasks.dedup.methods.url import SameUrl

PairMethod = Exact | SameUrl | MinHash | Semantic
TextMethod = Lines | Substring
Method = Annotated[PairMethod | TextMethod, Field(discriminator="kind")]

__all__ = [
    "Exact",
    "Lines",
    "Method",
    "MinHash",
    "PairMethod",
    "SameUrl",
    "Semantic",
    "Substring",
    "TextMethod",
]
