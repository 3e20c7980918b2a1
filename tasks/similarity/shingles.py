"""Documents as sets of shingles: overlapping runs of words, or of characters.

Words are runs of letters, digits and underscores of any script, in lower case, with the marks that
follow them. Folding marks away is a choice and not the rule: it would merge Vietnamese words that
differ in tone only, and Thai ones that differ in a vowel. In scripts that put no spaces between
words (Han, kana, Thai, Lao, Khmer, Burmese, …) each letter with its marks is a word.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tasks.config import Config, knob

Hashes = npt.NDArray[np.uint64]

FORMAT = 1
"""Raised when the same text gives other shingles."""

# Shingles take eight bytes for each of five or six of text: texts are gone through by so many.
_BATCH_BYTES = 8 << 20

SEED = 0x9E3779B97F4A7C15
MULTIPLIER = 0x9E3779B185EBCA87
_MASK = (1 << 64) - 1

UNICODE = unicodedata.unidata_version
"""Letters that are newer than it are none: part of every index's scheme."""

# Beyond lie planes without letters.
_END = 0x32400

SEPARATOR, LETTER, MARK, ALONE, IGNORED = range(5)
_KIND_SHIFT = 24
_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x0F00, 0x0FFF),  # Tibetan
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x3005, 0x3007),
    (0x3040, 0x30FF),  # Hiragana, Katakana
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0x9FFF),
    (0xA9E0, 0xA9FF),
    (0xAA60, 0xAA7F),
    (0xF900, 0xFAFF),
    (0x1B000, 0x1B16F),
    (0x20000, 0x32400),
)
# Soft hyphen, (non-)joiners, word joiner, byte order mark: invisible within words.
_INVISIBLE = (0xAD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF)
_FINAL_SIGMA, _SIGMA = 0x3C2, 0x3C3


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


class Alphabet(NamedTuple):
    """Tables for the kernels.

    `ascii` has one byte for each of the first 128 code points: its lower case, or 0 for a
    separator. `codes` has one uint32 for each: its kind in the highest byte, its lower case below.
    """

    ascii: npt.NDArray[np.uint8]
    codes: npt.NDArray[np.uint32]


@cache  # 0.2 s
def alphabet(fold_marks: bool = False) -> Alphabet:
    """The tables of this Python's Unicode version; `fold_marks` takes marks off letters."""
    codes = np.zeros(_END, dtype=np.uint32)
    for code in range(_END):
        kind, lower = _classify(chr(code), fold_marks)
        codes[code] = kind << _KIND_SHIFT | lower
    for first, last in _UNSPACED:
        block = codes[first : last + 1]
        block[block >> _KIND_SHIFT == LETTER] += (ALONE - LETTER) << _KIND_SHIFT
    kinds = codes[:128] >> _KIND_SHIFT
    return Alphabet(np.where(kinds == LETTER, codes[:128] & 0xFF, 0).astype(np.uint8), codes)


def _classify(character: str, fold_marks: bool) -> tuple[int, int]:
    """Kind and lower case of one character."""
    if ord(character) in _INVISIBLE:
        return IGNORED, 0
    if unicodedata.category(character)[0] == "M":
        return (IGNORED, 0) if fold_marks else (MARK, ord(character))
    if character != "_" and not character.isalnum():
        return SEPARATOR, 0
    if fold_marks:
        character = unicodedata.normalize("NFD", character)[0]
    lower = ord(character.lower()[0])  # one code point for one: İ is i, without its dot
    return LETTER, _SIGMA if lower == _FINAL_SIGMA else lower


def shingle_hash(shingle: bytes) -> int:
    """64 bits: words fold in their code points, shingles their words.

    It is what the kernels compute, for others: a shingle is its words, in lower case, as UTF-8 with
    one space between.
    """
    state = SEED
    for word in shingle.decode().split():
        of_word = SEED
        for letter in word:
            of_word = (of_word ^ ord(letter)) * MULTIPLIER & _MASK
        state = (state ^ of_word) * MULTIPLIER & _MASK
        state ^= state >> 32
    return state


def shingle_hash32(shingle: bytes) -> int:
    """The lower 32 bits, of which affine32 signatures are made.

    So datasketch's MinHashes compare with phusa's signatures: `MinHash(num_perm=112, seed=1,
    scheme="affine32", hashfunc=shingle_hash32)`, and `update(shingle)`.
    """
    return shingle_hash(shingle) & 0xFFFFFFFF


@dataclass(frozen=True)
class Texts:
    """A column of texts as its UTF-8 bytes, and where each text begins and ends in them."""

    data: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]

    @classmethod
    def of(cls, column: pa.Array) -> Texts:
        """Of an Arrow array of strings without nulls; no byte is copied."""
        if not len(column):
            return NO_TEXTS
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


NO_TEXTS = Texts(np.frombuffer(b"", np.uint8), np.zeros(1, np.int64))


def texts_of(column: pa.ChunkedArray) -> list[Texts]:
    """The chunks of a column of a table."""
    return [Texts.of(chunk) for chunk in column.chunks if len(chunk)]


def shingle_sets(texts: Texts, shingles: Shingles) -> tuple[Hashes, npt.NDArray[np.int64]]:
    """The sorted, distinct 64-bit shingles of each text, one text after the other, and the number
    of each text's.

    No set is empty: a text without units has the shingle of none.
    """
    from tasks.similarity.compiled import words

    found, sizes = [], []
    for batch in texts.batches():
        room = int(batch.offsets[-1] - batch.offsets[0]) + len(batch)
        sets, ends = np.empty(room, np.uint64), np.empty(len(batch), np.int64)
        words.shingle_sets(batch.data, batch.offsets, *_asked(shingles), sets, ends)
        found.append(sets[: ends[-1]].copy())
        sizes.append(np.diff(ends, prepend=0))
    if not found:
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    return np.concatenate(found), np.concatenate(sizes)


def text_hashes(texts: Texts, shingles: Shingles) -> Hashes:
    """A 64-bit hash of each text's words in their order, whatever the shingles are made of."""
    from tasks.similarity.compiled import words

    keys = np.empty(len(texts), np.uint64)
    tables = alphabet(shingles.fold_marks)
    words.hash_texts(texts.data, texts.offsets, *tables, shingles.max_units, keys)
    return keys


def run_hashes(texts: Texts, size: int) -> tuple[Hashes, npt.NDArray[np.int64]]:
    """The 64-bit hash of each run of `size` words of each text (of all, where there are fewer, and
    none of a text without words), in their order, and the number of each text's words."""
    from tasks.similarity.compiled import words

    counts = np.empty(len(texts), np.int64)
    hashes = np.empty(int(texts.offsets[-1] - texts.offsets[0]) + len(texts), np.uint64)
    num = words.hash_runs(texts.data, texts.offsets, *alphabet(), size, hashes, counts)
    return hashes[:num], counts


def sign(
    texts: Texts, shingles: Shingles, permutations: npt.NDArray[Any]
) -> npt.NDArray[np.uint32] | npt.NDArray[np.uint64]:
    """The MinHash signature of each text (texts x functions).

    `permutations` are datasketch's of scheme affine32 (uint32) or affine64 (uint64); signatures are
    bit for bit those of a datasketch MinHash with `shingle_hash` as its hash function.
    """
    from tasks.similarity.compiled import words

    dtype = permutations.dtype
    signatures = np.full((len(texts), permutations.shape[1]), np.iinfo(dtype).max, dtype)
    kernel: Callable[..., None] = words.signatures64
    if dtype == np.uint32:
        kernel = words.signatures32
    kernel(texts.data, texts.offsets, *_asked(shingles), *permutations, signatures)
    return signatures


def _asked(
    shingles: Shingles,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint32], bool, int, int]:
    """The kernels' arguments that say what a shingle is."""
    by_character = shingles.unit == "characters"
    return (*alphabet(shingles.fold_marks), by_character, shingles.size, shingles.max_units)
