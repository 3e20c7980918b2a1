"""Words, lines and marks of a text, in one pass over its code points.

numba, because numpy takes a pass and an array for each question, and Python a call for each word.
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
"""Where pieces of a text begin and end, in code points (pieces, 2)."""
Counts = npt.NDArray[np.int64]

SPACE, ALPHA, ALNUM, UNSPACED, TERMINAL, C4_END, ANY_END, MARK = (1 << n for n in range(8))
"""White space; letters; letters and digits; characters of scripts without spaces; ends of sentences
in every script; ends of lines to C4, and the same with those of all scripts; what `count_marks`
counts."""

UNEVEN_CASE = "İΣ"
"""What `str.lower` makes two characters of, and what it makes one of by its neighbours."""

MARKS = "#.!?{…。！？" + UNEVEN_CASE  # noqa: RUF001

NUMBER_SIGNS, ELLIPSES, CURLY_BRACKETS, INNER_SENTENCE_ENDS, UNEVEN, NUM_COUNTS = range(6)
"""Where `count_marks` counts what."""

REASONS = ("", "unended_line", "long_word_line", "short_line", "javascript_line", "policy_line")
"""Why C4's rules drop a line, by its number; the last two are not the kernel's to find."""
NUM_REASONS = len(REASONS)


@njit(cache=True, nogil=True)
def scan(codes: Codes, classes: Classes, unspaced: bool) -> tuple[Places, Places, int]:
    """Words, lines with something on them, and the number of line feeds.

    `unspaced`: words are those of `words.split_words` in scripts without spaces.
    """
    words, feeds = _events(codes, classes)
    lines = np.empty((feeds.size + 1, 2), np.int32)
    num_lines = start = 0
    for n in range(feeds.size + 1):
        end = feeds[n] if n < feeds.size else codes.size
        begin, stop = _stripped(codes, classes, start, end)
        if begin < stop:
            lines[num_lines, 0], lines[num_lines, 1] = start, end
            num_lines += 1
        start = end + 1
    if unspaced:
        words = _split(codes, classes, words)
    return words, lines[:num_lines], feeds.size


@njit(cache=True, nogil=True)
def _events(codes: Codes, classes: Classes) -> tuple[Places, Places]:
    """Runs without white space (runs, 2), and line feeds.

    Without branches: each place is written, and the next goes over it unless it counts. A branch at
    every word takes twice as long (7 000 characters: 9 and 17 µs).
    """
    size = codes.size
    ends, feeds = np.empty(size + 2, np.int32), np.empty(size + 1, np.int32)
    num_ends = num_feeds = 0
    last = np.uint8(SPACE)
    for i in range(size):
        kind = classes[codes[i]]
        ends[num_ends] = feeds[num_feeds] = i
        num_ends += (kind ^ last) & SPACE
        num_feeds += codes[i] == 10
        last = kind
    ends[num_ends] = size
    num_ends += num_ends & 1
    return ends[:num_ends].reshape(-1, 2), feeds[:num_feeds]


@njit(cache=True, nogil=True)
def _stripped(codes: Codes, classes: Classes, start: int, end: int) -> tuple[int, int]:
    """Where what is no white space begins and ends."""
    while start < end and classes[codes[start]] & SPACE:
        start += 1
    while end > start and classes[codes[end - 1]] & SPACE:
        end -= 1
    return start, end


@njit(cache=True, nogil=True)
def _split(codes: Codes, classes: Classes, runs: Places) -> Places:
    """Words of runs without white space, where a character may be one."""
    words, num = np.empty((codes.size, 2), np.int32), 0
    for n in range(len(runs)):
        start, end = runs[n, 0], runs[n, 1]
        while start < end:
            tail, i = classes[codes[start]] & UNSPACED, start + 1
            while i < end:
                kind = classes[codes[i]]
                # A character's tail is what stands behind it, marks and punctuation.
                if (kind & ALNUM or codes[i] == 95) if tail else kind & UNSPACED:
                    break
                i += 1
            words[num, 0], words[num, 1] = start, i
            num += 1
            start = i
    return words[:num]


@njit(cache=True, nogil=True)
def count_words(codes: Codes, classes: Classes, words: Places) -> tuple[int, int, int]:
    """Words without a letter; symbols, words without a letter or digit; the characters of all words
    but symbols."""
    num_odd = num_symbols = characters = 0
    for n in range(len(words)):
        start, end = words[n, 0], words[n, 1]
        characters += end - start
        if classes[codes[start]] & ALPHA:
            continue
        seen = np.uint8(0)
        for i in range(start, end):
            seen |= classes[codes[i]]
        if not seen & ALPHA:
            num_odd += 1
            if not seen & ALNUM:
                num_symbols += 1
                characters -= end - start
    return num_odd, num_symbols, characters


@njit(cache=True, nogil=True)
def count_marks(codes: Codes, classes: Classes) -> Counts:
    """How often there is what the names above stand for."""
    size = codes.size
    counts, places, num = np.zeros(NUM_COUNTS, np.int64), np.empty(size + 1, np.int32), 0
    for i in range(size):
        places[num] = i
        num += (classes[codes[i]] & MARK) != 0
    for n in range(num):
        _count_mark(codes, classes, places[n], counts)
    return counts


@njit(cache=True, nogil=True)
def _count_mark(codes: Codes, classes: Classes, i: int, counts: Counts) -> None:
    code, size = codes[i], codes.size
    if code == 35:
        counts[NUMBER_SIGNS] += 1
    elif code == 123:
        counts[CURLY_BRACKETS] += 1
    elif code == 0x2026:
        counts[ELLIPSES] += 1
    elif code in (0x130, 0x3A3):
        counts[UNEVEN] += 1
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
    """Whether closing marks, spaces and what is no small letter stand here, one after the other.

    34 to 0x201D: quotes and brackets that close."""
    size = codes.size
    while i < size and (codes[i] in (34, 39, 41, 93) or codes[i] in (0x2019, 0x201D)):
        i += 1
    if i >= size or codes[i] != 32:
        return False
    while i < size and codes[i] == 32:
        i += 1
    return i < size and not classes[codes[i]] & SPACE and not 97 <= codes[i] <= 122


@njit(cache=True, nogil=True)
def count_line_ends(codes: Codes, classes: Classes, lines: Places, short: int) -> tuple[int, int]:
    """Lines that end as a sentence does, and lines of so many characters at most."""
    num_ended = num_short = 0
    for n in range(len(lines)):
        start, end = lines[n, 0], lines[n, 1]
        num_ended += (classes[codes[end - 1]] & TERMINAL) != 0
        num_short += end - start <= short
    return num_ended, num_short


@njit(cache=True, nogil=True)
def count_bullets(codes: Codes, classes: Classes, lines: Places, bullets: Codes) -> tuple[int, int]:
    """Lines that begin with a bullet and lines that end in an ellipsis, white space aside.

    bullets (bullets, width): their code points, 0xFFFFFFFF behind those that are shorter.
    """
    num_listed, num_ellipses, as_it_is = 0, 0, np.empty(0, np.uint32)
    for n in range(len(lines)):
        start, end = _stripped(codes, classes, lines[n, 0], lines[n, 1])
        num_ellipses += codes[end - 1] == 0x2026 or _ends_in_dots(codes, start, end)
        for b in range(len(bullets)):
            if codes[start] == bullets[b, 0] and _stands_at(
                codes, as_it_is, start, lines[n, 1], bullets, b
            ):
                num_listed += 1
                break
    return num_listed, num_ellipses


@njit(cache=True, nogil=True)
def _ends_in_dots(codes: Codes, start: int, end: int) -> bool:
    return (
        end - start >= 3 and codes[end - 1] == 46 and codes[end - 2] == 46 and codes[end - 3] == 46
    )


@njit(cache=True, nogil=True)
def _stands_at(
    codes: Codes, lowered: Codes, start: int, end: int, strings: Codes, row: int
) -> bool:
    for j in range(strings.shape[1]):
        if strings[row, j] == 0xFFFFFFFF:
            break
        if start + j >= end or _small(codes[start + j], lowered) != strings[row, j]:
            return False
    return True


@njit(cache=True, nogil=True)
def _small(code: np.uint32, lowered: Codes) -> np.uint32:
    """The small letter of a code point that the table has."""
    return lowered[code] if code < lowered.size else code


@njit(cache=True, nogil=True)
def count_present(
    codes: Codes, lowered: Codes, words: Places, wanted: Codes, firsts: Classes
) -> int:
    """How many of the wanted words, in small letters, are words of the text, in any case.

    lowered: the small letter of each code point below its size; wanted (words, width) as `bullets`
    above; firsts (256,): 1 at the low byte of each one's first character.
    """
    found = np.zeros(len(wanted), np.uint8)
    num, width = 0, wanted.shape[1]
    low = np.empty(width, np.uint32)
    for n in range(len(words)):
        start, size = words[n, 0], words[n, 1] - words[n, 0]
        if size > width or not firsts[_small(codes[start], lowered) & np.uint32(255)]:
            continue
        low[:] = 0xFFFFFFFF
        for j in range(size):
            low[j] = _small(codes[start + j], lowered)
        for w in range(len(wanted)):
            if not found[w] and _same(low, wanted, w):
                found[w] = 1
                num += 1
                break
        if num == len(wanted):
            break
    return num


@njit(cache=True, nogil=True)
def _same(one: Codes, strings: Codes, row: int) -> bool:
    equal = True
    for j in range(one.size):
        equal &= one[j] == strings[row, j]
    return equal


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
        begin, end = _stripped(codes, classes, start, i)
        if begin < end:
            open_end = ended and not classes[codes[end - 1]] & mark
            if open_end and end - begin <= longest:
                reasons[num] = 1
            elif end - begin > longest and _has_long_word(codes, classes, begin, end, longest):
                reasons[num] = 2
            elif open_end or (ended and _ends_in_dots(codes, begin, end)):
                reasons[num] = 1
            elif not _has_words(codes, classes, begin, end, min_words):
                reasons[num] = 3
        num, start = num + 1, i + 1
    return reasons[:num]


@njit(cache=True, nogil=True)
def kept_lines(codes: Codes, reasons: Classes) -> tuple[Places, Counts]:
    """Runs of lines that have no reason to go, with one blank line where several would meet, and
    how many lines have each reason.
    """
    runs, counts = np.empty((reasons.size, 2), np.int32), np.zeros(NUM_REASONS, np.int64)
    num = line = start = 0
    filled = joined = False  # the last line that stays is not blank; it is the one before this
    for i in range(codes.size + 1):
        if i < codes.size and codes[i] != 10:
            continue
        counts[reasons[line]] += 1
        stays = reasons[line] == 0 and (start < i or filled)
        if stays:
            if not joined:
                runs[num, 0] = start
                num += 1
            runs[num - 1, 1] = i
            filled = start < i
        joined = stays
        line, start = line + 1, i + 1
    return runs[:num], counts


@njit(cache=True, nogil=True)
def _has_long_word(codes: Codes, classes: Classes, start: int, end: int, longest: int) -> bool:
    word = start
    for i in range(start, end):
        if classes[codes[i]] & SPACE:
            word = i + 1
        elif i - word == longest:
            return True
    return False


@njit(cache=True, nogil=True)
def _has_words(codes: Codes, classes: Classes, start: int, end: int, num: int) -> bool:
    """Whether a stripped line has so many words between white space."""
    num -= 1
    for i in range(start, end):
        if num <= 0:
            break
        if classes[codes[i]] & SPACE and not classes[codes[i + 1]] & SPACE:
            num -= 1
    return num <= 0


@njit(cache=True, nogil=True)
def find_any(codes: Codes, lowered: Codes, strings: Codes, size: int, shifts: Classes) -> Counts:
    """How often each of the strings, in small letters, stands in a text in any case, others within
    it too.

    By the first `size` characters of each, three or more, no more than the shortest has. Of three
    characters of a text shifts (32768,) tells, at their `characters.triple`, after how many more
    those may end: where C4's phrases are sought, three of eight are read. Source: Wu and Manber, A
    fast algorithm for multi-pattern searching, 1994.
    """
    found, i = np.zeros(len(strings), np.int64), size - 1
    while i < codes.size:
        triple = np.uint32(0)
        for j in range(i - 2, i + 1):
            code = _small(codes[j], lowered)
            triple = np.uint32((triple << np.uint32(5) ^ code) & np.uint32(32767))
        shift = shifts[triple]
        if shift:
            i += shift
            continue
        for w in range(len(strings)):
            found[w] += _stands_at(codes, lowered, i + 1 - size, codes.size, strings, w)
        i += 1
    return found
