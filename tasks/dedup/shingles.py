"""Documents as sets of shingles: overlapping runs of words, or of characters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tasks.config import Config, knob
from tasks.dedup.alphabet import UNICODE, Alphabet, alphabet

Hashes = npt.NDArray[np.uint64]

FORMAT = 1
"""Raised when the same text gives other shingles."""

# Shingles take eight bytes for each of five or six of text: texts are gone through by so many.
_BATCH_BYTES = 8 << 20


class Shingles(Config):
    """What a document is compared by."""

    unit: Literal["words", "characters"] = knob(
        "words",
        "what a shingle is a run of. Words are runs of letters and digits of any script, in lower "
        "case; in scripts without spaces between words, single letters",
    )
    size: int = knob(5, "units in a shingle", ge=1, le=256, source="FineWeb, arXiv:2406.17557 §3.4")
    fold_marks: bool = knob(
        False,
        "take accents and tone marks off letters; in Vietnamese that makes one word of six",
    )
    max_units: int = knob(
        200_000,
        "units of a document that are looked at; what follows counts for nothing. A giant document "
        "has a bit of everything in its signature, and chains strangers together",
        ge=1_000,
        le=100_000_000,
        source="Marin looks at 500 000 characters",
    )

    def scheme(self) -> dict[str, Any]:
        """What has to be equal for two texts' shingles to be comparable."""
        return {"format": FORMAT, "unicode": UNICODE, **self.model_dump(mode="json")}


@dataclass(frozen=True)
class Texts:
    """A column of texts as its UTF-8 bytes, and where each text begins and ends in them."""

    data: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]

    @classmethod
    def of(cls, column: pa.Array) -> Texts:
        """Of an Arrow array of strings without nulls; no byte is copied."""
        wide = pa.types.is_large_string(column.type)
        _, offsets, data = column.buffers()
        within = slice(column.offset, column.offset + len(column) + 1)
        ends = np.frombuffer(offsets, np.int64 if wide else np.int32)[within].astype(np.int64)
        plain = np.frombuffer(data or b"", np.uint8)
        plain.flags.writeable = False  # numba would compile everything twice, for either kind
        return cls(plain, ends)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def batches(self) -> Iterator[Texts]:
        """The same texts, some megabytes at a time (one text at least)."""
        first = 0
        while first < len(self):
            limit = self.offsets[first] + _BATCH_BYTES
            last = max(int(np.searchsorted(self.offsets, limit, "right")) - 1, first + 1)
            yield Texts(self.data, self.offsets[first : last + 1])
            first = last


def texts_of(column: pa.ChunkedArray) -> list[Texts]:
    """The chunks of a column of a table."""
    return [Texts.of(chunk) for chunk in column.chunks if len(chunk)]


def shingle_sets(texts: Texts, shingles: Shingles) -> tuple[Hashes, npt.NDArray[np.int64]]:
    """The sorted, distinct 64-bit shingles of each text, one text after the other, and the number
    of each text's.

    No set is empty: a text without units has the shingle of none.
    """
    from tasks.dedup.compiled import words

    found, sizes = [], []
    for batch in texts.batches():
        room = int(batch.offsets[-1] - batch.offsets[0]) + len(batch)
        sets, ends = np.empty(room, np.uint64), np.empty(len(batch), np.int64)
        words.shingle_sets(
            batch.data, batch.offsets, *_tables(shingles), *_shape(shingles), sets, ends
        )
        found.append(sets[: ends[-1]].copy())
        sizes.append(np.diff(ends, prepend=0))
    if not found:
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    return np.concatenate(found), np.concatenate(sizes)


def text_hashes(texts: Texts, shingles: Shingles) -> Hashes:
    """A 64-bit hash of each text's words in their order, whatever the shingles are made of."""
    from tasks.dedup.compiled import words

    keys = np.empty(len(texts), np.uint64)
    words.hash_texts(
        texts.data, texts.offsets, *_tables(shingles), shingles.max_units, keys, np.uint64(0)
    )
    return keys


def run_hashes(texts: Texts, size: int) -> tuple[Hashes, npt.NDArray[np.int64]]:
    """The 64-bit hash of each run of `size` words of each text (of all, where there are fewer, and
    none of a text without words), in their order, and the number of each text's words."""
    from tasks.dedup.compiled import words

    tables = alphabet()
    counts = np.empty(len(texts), np.int64)
    hashes = np.empty(int(texts.offsets[-1] - texts.offsets[0]) + len(texts), np.uint64)
    num = words.hash_runs(
        texts.data, texts.offsets, tables.ascii, tables.codes, size, hashes, counts
    )
    return hashes[:num], counts


def sign(
    texts: Texts, shingles: Shingles, permutations: npt.NDArray[Any]
) -> npt.NDArray[np.uint32] | npt.NDArray[np.uint64]:
    """The MinHash signature of each text (texts x functions).

    `permutations` are datasketch's of scheme affine32 (uint32) or affine64 (uint64); signatures are
    bit for bit those of a datasketch MinHash with `tasks.dedup.hashing` as its hash function.
    """
    from tasks.dedup.compiled import words

    dtype = permutations.dtype
    signatures = np.full((len(texts), permutations.shape[1]), np.iinfo(dtype).max, dtype)
    kernel: Callable[..., None] = words.signatures64
    if dtype == np.uint32:
        kernel = words.signatures32
    kernel(
        texts.data, texts.offsets, *_tables(shingles), *_shape(shingles), *permutations, signatures
    )
    return signatures


def _tables(shingles: Shingles) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint32]]:
    tables: Alphabet = alphabet(shingles.fold_marks)
    return tables.ascii, tables.codes


def _shape(shingles: Shingles) -> tuple[bool, int, int]:
    return shingles.unit == "characters", shingles.size, shingles.max_units
