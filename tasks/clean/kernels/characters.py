"""What each code point is, as tables for kernels: Python's own answers, so that both agree.

Made when first asked for, in 0.1 s; 1.1 and 0.5 MB.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np

from tasks.clean.kernels import scan
from tasks.clean.kernels.scan import Classes, Codes
from tasks.clean.text import C4_ENDS, ENDS_OF_ANY_SCRIPT, TERMINAL, code_points
from tasks.words import UNSPACED_RANGES

_NUM = 0x110000
_NUM_WITH_CASE = 0x20000
"""No letter behind these has a case."""

NOTHING = 0xFFFFFFFF
"""No code point: behind strings that are shorter than others of their table."""


@lru_cache(maxsize=256)
def string_table(strings: tuple[str, ...] | frozenset[str]) -> Codes:
    """The code points of strings (strings, characters of the longest)."""
    table = np.full((len(strings), max(map(len, strings), default=0)), NOTHING, np.uint32)
    for row, string in zip(table, strings, strict=True):
        row[: len(string)] = code_points(string)
    return table


@lru_cache(maxsize=1)
def classes() -> Classes:
    """Of each code point, the bits of `scan`."""
    every = np.arange(_NUM, dtype=np.uint32).view("U1")
    table = np.zeros(_NUM, np.uint8)
    table[np.char.isspace(every)] |= scan.SPACE
    table[np.char.isalpha(every)] |= scan.ALPHA
    table[np.char.isalnum(every)] |= scan.ALNUM
    for ends in UNSPACED_RANGES:
        table[ord(ends[0]) : ord(ends[-1]) + 1] |= scan.UNSPACED
    sets: dict[int, Iterable[str]] = {
        scan.TERMINAL: TERMINAL,
        scan.C4_END: C4_ENDS,
        scan.ANY_END: ENDS_OF_ANY_SCRIPT,
        scan.MARK: scan.MARKS,
    }
    for bit, characters in sets.items():
        table[np.fromiter(map(ord, characters), np.int64)] |= bit
    return table


@lru_cache(maxsize=1)
def small_letters() -> Codes:
    """The small letter of each code point that may have one; NOTHING for `scan.UNEVEN_CASE`."""
    every = "".join(map(chr, range(_NUM_WITH_CASE)))
    for uneven in scan.UNEVEN_CASE:
        every = every.replace(uneven, " ")
    table = code_points(every.lower()).copy()
    table[[ord(uneven) for uneven in scan.UNEVEN_CASE]] = NOTHING
    return table


@lru_cache(maxsize=256)
def first_bytes(strings: frozenset[str]) -> Classes:
    """1 at the low byte of each string's first character (256,)."""
    table = np.zeros(256, np.uint8)
    table[[ord(string[0]) & 255 for string in strings]] = 1
    return table


def count_strings(text: str, codes: Codes, strings: tuple[str, ...]) -> list[int]:
    """How often each of the strings, in small letters, stands in a text in any case."""
    tables = _searched(strings)
    if tables is None or (not text.isascii() and any(map(text.__contains__, scan.UNEVEN_CASE))):
        lowered = text.lower()
        return [lowered.count(string) for string in strings]
    return scan.find_any(codes, small_letters(), *tables).tolist()  # type: ignore[no-any-return]


@lru_cache(maxsize=256)
def _searched(strings: tuple[str, ...]) -> tuple[Codes, int, Classes] | None:
    """What `scan.find_any` asks of strings, if all have the three characters that it looks at."""
    size = min((255, *map(len, strings)))
    return (string_table(strings), size, _shifts(strings, size)) if size >= 3 else None


def triple(string: str) -> int:
    """A number that stands for the last three code points."""
    number = 0
    for character in string:
        number = (number << 5 ^ ord(character)) & 32767
    return number


def _shifts(strings: tuple[str, ...], size: int) -> Classes:
    """Of each triple, after how many more characters the first `size` ones of a string may end
    (32768,)."""
    table = np.full(32768, size - 2, np.uint8)
    for string in strings:
        for end in range(3, size + 1):
            at = triple(string[end - 3 : end])
            table[at] = min(table[at], size - end)
    return table
