"""What each Unicode code point is to a shingle: part of a word, a mark, a word of its own, nothing.

Words are runs of letters, digits and underscores of any script, in lower case, with the marks that
follow them. Folding marks away is a choice and not the rule: it would merge Vietnamese words that
differ in tone only, and Thai ones that differ in a vowel. In scripts that put no spaces between
words (Han, kana, Thai, Lao, Khmer, Burmese, …) each letter with its marks is a word.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

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


@dataclass(frozen=True)
class Alphabet:
    """Tables for the kernels.

    `codes` has one uint32 for each code point: its kind in the highest byte, its lower case below.
    `ascii` has one byte for each of the first 128: its lower case, or 0 for a separator.
    """

    codes: npt.NDArray[np.uint32]
    ascii: npt.NDArray[np.uint8]


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
    return Alphabet(codes, np.where(kinds == LETTER, codes[:128] & 0xFF, 0).astype(np.uint8))


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
