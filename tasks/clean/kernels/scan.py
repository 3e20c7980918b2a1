"""Words, lines and marks of a text, in one pass over its code points.

numba, because numpy takes a pass and an array for each question, and a Python loop 50 times as long.
A kernel calls only kernels of its own file and reads only constants of it: numba's cache on disk
looks at the time of no other. Importing this costs 0.45 s, so it is imported where it is used.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Codes = npt.NDArray[np.uint32]
"""The code points of a text."""
Classes = npt.NDArray[np.uint8]
"""Of each code point, bits of what it is."""
Places = npt.NDArray[np.int32]
"""Where pieces of a text begin or end, in code points."""
Counts = npt.NDArray[np.int64]

SPACE, ALPHA, ALNUM, UNSPACED, TERMINAL, C4_END, ANY_END, MARK = (1 << n for n in range(8))
"""White space; letters; letters and digits; characters of scripts without spaces; ends of sentences
in every script; ends of lines to C4, and the same with those of all scripts; what `scan` counts."""

MARKS = "#.!?{…。！？"  # noqa: RUF001

(
    NUM_SYMBOLS,
    NUM_WITHOUT_LETTER,
    WORD_CHARACTERS,
    SYMBOL_CHARACTERS,
    LINE_FEEDS,
    NUMBER_SIGNS,
    ELLIPSES,
    CURLY_BRACKETS,
    INNER_SENTENCE_ENDS,
    FILLERS,
) = range(10)
"""Where `scan` counts what: words without a letter or digit, words without a letter, the characters
of all words and of symbols, and what stands anywhere in the text."""

REASONS = (None, "unended_line", "long_word_line", "short_line")
"""Why `c4_lines` drops a line, by its number."""


@njit(cache=True, nogil=True)
def scan(
    codes: Codes, classes: Classes, unspaced: bool
) -> tuple[Places, Places, Places, Places, Counts]:
    """Starts and ends of words and of lines with something on them, and the counts named above.

    `unspaced`: words are those of `words.split_words` in scripts without spaces.
    """
    size = codes.size
    counts = np.zeros(10, np.int64)
    word_starts = np.empty(size if unspaced else size // 2 + 1, np.int32)
    word_ends = np.empty_like(word_starts)
    line_starts, line_ends = np.empty(size // 2 + 1, np.int32), np.empty(size // 2 + 1, np.int32)
    num_words = num_lines = line = 0
    word, seen, tail, full = -1, 0, False, False
    for i in range(size + 1):
        code = codes[i] if i < size else np.uint32(10)
        kind = classes[code]
        if kind & SPACE:
            ends, begins = True, False
            if code == 10:
                if full:
                    line_starts[num_lines], line_ends[num_lines] = line, i
                    num_lines += 1
                line, full = i + 1, False
                counts[LINE_FEEDS] += i < size
            elif code == 32 and _is_filler(codes, i):
                counts[FILLERS] += 1
        else:
            full = True
            begins = word < 0
            if unspaced and not begins:
                # A character's tail is what stands behind it, marks and punctuation.
                begins = bool(kind & ALNUM or code == 95) if tail else bool(kind & UNSPACED)
            ends = begins
            if kind & MARK:
                _count_mark(codes, classes, i, counts)
        if ends and word >= 0:
            word_starts[num_words], word_ends[num_words] = word, i
            num_words += 1
            counts[WORD_CHARACTERS] += i - word
            if not seen & ALPHA:
                counts[NUM_WITHOUT_LETTER] += 1
                if not seen & ALNUM:
                    counts[NUM_SYMBOLS] += 1
                    counts[SYMBOL_CHARACTERS] += i - word
            word = -1
        if begins:
            word, seen, tail = i, 0, bool(kind & UNSPACED)
        seen |= kind
    return (
        word_starts[:num_words],
        word_ends[:num_words],
        line_starts[:num_lines],
        line_ends[:num_lines],
        counts,
    )


@njit(cache=True, nogil=True)
def _is_filler(codes: Codes, i: int) -> bool:
    """Whether `lorem ipsum`, in any case, stands around a space."""
    if i < 5 or i + 5 >= codes.size or codes[i - 1] | 32 != 109 or codes[i + 1] | 32 != 105:
        return False
    before = codes[i - 5] | 32 == 108 and codes[i - 4] | 32 == 111 and codes[i - 3] | 32 == 114
    behind = codes[i + 2] | 32 == 112 and codes[i + 3] | 32 == 115 and codes[i + 4] | 32 == 117
    return before and codes[i - 2] | 32 == 101 and behind and codes[i + 5] | 32 == 109


@njit(cache=True, nogil=True)
def _count_mark(codes: Codes, classes: Classes, i: int, counts: Counts) -> None:
    code, size = codes[i], codes.size
    if code == 35:
        counts[NUMBER_SIGNS] += 1
    elif code == 123:
        counts[CURLY_BRACKETS] += 1
    elif code == 0x2026:
        counts[ELLIPSES] += 1
    elif code > 127:  # a full-width end
        counts[INNER_SENTENCE_ENDS] += i + 1 < size and not classes[codes[i + 1]] & SPACE
    else:
        if code == 46 and (i == 0 or codes[i - 1] != 46):
            end = i + 1
            while end < size and codes[end] == 46:
                end += 1
            counts[ELLIPSES] += (end - i) // 3
        counts[INNER_SENTENCE_ENDS] += _begins_another(codes, classes, i + 1)


@njit(cache=True, nogil=True)
def _begins_another(codes: Codes, classes: Classes, i: int) -> bool:
    """Whether closing marks, spaces and what is no small letter stand here, one after the other."""
    size = codes.size
    while i < size and (
        codes[i] in (34, 39, 41, 93) or codes[i] in (0x2019, 0x201D)  # "')]’”
    ):
        i += 1
    if i >= size or codes[i] != 32:
        return False
    while i < size and codes[i] == 32:
        i += 1
    return i < size and not classes[codes[i]] & SPACE and not 97 <= codes[i] <= 122


@njit(cache=True, nogil=True)
def count_line_ends(
    codes: Codes, classes: Classes, starts: Places, ends: Places, short: int
) -> tuple[int, int]:
    """Lines that end as a sentence does, and lines of so many characters at most."""
    num_ended = num_short = 0
    for i in range(starts.size):
        num_ended += (classes[codes[ends[i] - 1]] & TERMINAL) != 0
        num_short += ends[i] - starts[i] <= short
    return num_ended, num_short


@njit(cache=True, nogil=True)
def count_bullets(
    codes: Codes, classes: Classes, starts: Places, ends: Places, bullets: Codes
) -> tuple[int, int]:
    """Lines that begin with a bullet and lines that end in an ellipsis, white space aside.

    bullets (bullets, width): their code points, 0xFFFFFFFF behind those that are shorter.
    """
    num_listed = num_ellipses = 0
    for i in range(starts.size):
        start, end = starts[i], ends[i]
        while classes[codes[start]] & SPACE:
            start += 1
        while classes[codes[end - 1]] & SPACE:
            end -= 1
        num_ellipses += codes[end - 1] == 0x2026 or _ends_in_dots(codes, start, end)
        for bullet in bullets:
            if _stands_at(codes, start, ends[i], bullet):
                num_listed += 1
                break
    return num_listed, num_ellipses


@njit(cache=True, nogil=True)
def _ends_in_dots(codes: Codes, start: int, end: int) -> bool:
    return (
        end - start >= 3 and codes[end - 1] == 46 and codes[end - 2] == 46 and codes[end - 3] == 46
    )


@njit(cache=True, nogil=True)
def _stands_at(codes: Codes, start: int, end: int, string: Codes) -> bool:
    for j in range(string.size):
        if string[j] == 0xFFFFFFFF:
            break
        if start + j >= end or codes[start + j] != string[j]:
            return False
    return True


@njit(cache=True, nogil=True)
def count_present(
    codes: Codes, lowered: Codes, starts: Places, ends: Places, wanted: Codes, firsts: Classes
) -> int:
    """How many of the wanted words, in small letters, are words of the text, in any case.

    lowered: the small letter of each code point below its size; wanted (words, width) as `bullets`
    above; firsts (256,): 1 at the low byte of each one's first character.
    """
    found = np.zeros(len(wanted), np.uint8)
    num, width, table = 0, wanted.shape[1], lowered.size
    low = np.empty(width, np.uint32)
    for i in range(starts.size):
        size = ends[i] - starts[i]
        first = codes[starts[i]]
        first = lowered[first] if first < table else first
        if size > width or not firsts[first & np.uint32(255)]:
            continue
        low[:] = 0xFFFFFFFF
        for j in range(size):
            code = codes[starts[i] + j]
            low[j] = lowered[code] if code < table else code
        for w in range(len(wanted)):
            if not found[w] and _same(low, wanted[w]):
                found[w] = 1
                num += 1
                break
        if num == len(wanted):
            break
    return num


@njit(cache=True, nogil=True)
def _same(one: Codes, other: Codes) -> bool:
    for j in range(one.size):
        if one[j] != other[j]:
            return False
    return True


@njit(cache=True, nogil=True)
def c4_lines(
    codes: Codes, classes: Classes, ended: bool, mark: int, longest: int, min_words: int
) -> Classes:
    """Of each line, blank ones included, the number of the reason why it goes, or 0.

    mark: the class of what a line may end with, asked if `ended`; longest: characters of a word.
    """
    size = codes.size
    reasons = np.zeros(size + 1, np.uint8)
    num = start = 0
    for i in range(size + 1):
        if i < size and codes[i] != 10:
            continue
        end, begin = i, start
        while begin < end and classes[codes[begin]] & SPACE:
            begin += 1
        while end > begin and classes[codes[end - 1]] & SPACE:
            end -= 1
        if begin < end:
            open_end = ended and not classes[codes[end - 1]] & mark
            if open_end and end - begin <= longest:
                reasons[num] = 1
            else:
                num_words, longest_word = _words_of(codes, classes, begin, end)
                if longest_word > longest:
                    reasons[num] = 2
                elif open_end or (ended and _ends_in_dots(codes, begin, end)):
                    reasons[num] = 1
                elif num_words < min_words:
                    reasons[num] = 3
        num, start = num + 1, i + 1
    return reasons[:num]


@njit(cache=True, nogil=True)
def _words_of(codes: Codes, classes: Classes, start: int, end: int) -> tuple[int, int]:
    """Words between white space in a stripped line, and the characters of the longest."""
    num, longest, word = 1, 0, start
    for i in range(start, end):
        if classes[codes[i]] & SPACE:
            if word < i:
                longest = max(longest, i - word)
                num += 1
            word = i + 1
    return num, max(longest, end - word)
