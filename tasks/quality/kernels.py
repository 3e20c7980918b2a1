"""Text to hashed n-grams, and the linear model over them, in machine code that holds no lock.

Everything reads the UTF-8 bytes of Arrow's own buffer, which for a score never become Python
strings. Importing numba takes half a second: import this module inside functions only.

Hashes are 64-bit and wrap; a bucket is the low bits of a mixed hash. What is done to a character
and how hashes are combined is the model's scheme: raise `model.SCHEME` with any change to it.
"""

from __future__ import annotations

import numpy as np
from numba import njit

# Module constants of numba must be typed: int64 and uint64 together would become floats.
_ZERO = np.uint64(0)
_BASIS = np.uint64(0xCBF29CE484222325)
_PRIME = np.uint64(0x100000001B3)
_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xFF51AFD7ED558CCD)
_SHIFT = np.uint64(33)
_PARTS = np.uint64(0xA24BAED4963EE407)  # sets character n-grams apart from words
_EDGE = np.uint64(0x110000)  # where a word begins and ends; no character has this number

SPACE, LETTER, ALONE = 0, 1, 2
"""What a character is: between words, a part of one, or a word by itself."""

LONGEST = 64
"""Characters of one word of which n-grams of characters are taken."""

PARTS_ROOM = LONGEST + 2
"""N-grams of characters of one word at most: its edges count as characters."""


@njit(cache=True, nogil=True)
def mix(value):
    """Spread a hash over all of its bits (the finaliser of MurmurHash3, one round)."""
    value ^= value >> _SHIFT
    value *= _MIX
    return value ^ (value >> _SHIFT)


@njit(cache=True, nogil=True)
def _room(scheme, with_spans):
    """Where `_extract` puts the words and n-grams of one text, as many as there can be.

    Hashes of words and their bytes (from, to); buckets of n-grams and, if asked for, their bytes.
    """
    _, num_words, ngrams, parts, _ = scheme
    num = num_words * (ngrams + (PARTS_ROOM if parts > 0 else 0))
    words, places = np.empty(num_words, np.uint64), np.empty((num_words, 2), np.int64)
    buckets, spans = np.empty(num, np.uint32), np.empty((num if with_spans else 0, 2), np.int64)
    return words, places, buckets, spans


@njit(cache=True, nogil=True)
def _extract(data, begin, end, scheme, room):
    """Write the buckets of one text's n-grams into the `_room` and return how many there are.

    `data[begin:end]` is valid UTF-8. The scheme is (table, words, ngrams, parts, mask): `table` has
    for each character below 0x10000 its kind and, in the low 24 bits, what it is taken for; so many
    words of a text count, in n-grams of up to so many, beside those of `parts` characters within
    words (0: none); `mask` makes a bucket of a hash.
    """
    table, num_words, ngrams, parts, mask = scheme
    words, places, buckets, spans = room
    count, found = 0, 0
    letters = np.empty(LONGEST + 2, np.uint64)
    letter_places = np.empty(LONGEST + 3, np.int64)
    position = begin
    hash_, first, size = _BASIS, begin, 0
    while True:
        kind, folded, after = SPACE, _ZERO, position
        if position < end:
            code, after = _decode(data, position)
            kind, folded = _classify(code, table)
        if kind == LETTER:
            if size == 0:
                hash_, first = _BASIS, position
            if parts > 0 and size < LONGEST:
                letters[size + 1] = folded
                letter_places[size + 1] = position
                letter_places[size + 2] = after
            hash_ = (hash_ ^ folded) * _PRIME
            size += 1
        else:
            if size > 0:
                words[count] = mix(hash_)
                places[count, 0], places[count, 1] = first, position
                count += 1
                if parts > 0:
                    found = _parts(letters, letter_places, size, parts, mask, buckets, spans, found)
                size = 0
                if count == num_words:
                    break
            if kind == ALONE:
                words[count] = mix((_BASIS ^ folded) * _PRIME)
                places[count, 0], places[count, 1] = position, after
                count += 1
                if count == num_words:
                    break
        if position >= end:
            break
        position = after
    return _combine(words, places, count, ngrams, mask, buckets, spans, found)


@njit(cache=True, nogil=True)
def _combine(words, places, count, ngrams, mask, buckets, spans, found):
    """The n-grams of the words, the short ones first."""
    keep_spans = spans.shape[0] > 0
    for length in range(1, ngrams + 1):
        for start in range(count - length + 1):
            hash_ = words[start]
            for further in range(1, length):
                hash_ = hash_ * _STEP + words[start + further]
            buckets[found] = np.uint32(mix(hash_) & mask)
            if keep_spans:
                spans[found, 0] = places[start, 0]
                spans[found, 1] = places[start + length - 1, 1]
            found += 1
    return found


@njit(cache=True, nogil=True, inline="always")
def _decode(data, position):
    """The character at a position and where the next one begins."""
    byte = np.int64(data[position])
    if byte < 0x80:
        return byte, position + 1
    if byte < 0xE0:
        return ((byte & 0x1F) << 6) | (np.int64(data[position + 1]) & 0x3F), position + 2
    middle = np.int64(data[position + 1]) & 0x3F
    last = np.int64(data[position + 2]) & 0x3F
    if byte < 0xF0:
        return ((byte & 0x0F) << 12) | (middle << 6) | last, position + 3
    code = ((byte & 0x07) << 18) | (middle << 12) | (last << 6)
    return code | (np.int64(data[position + 3]) & 0x3F), position + 4


@njit(cache=True, nogil=True, inline="always")
def _classify(code, table):
    """Past the basic plane are rare ideographs and pictures: each a word by itself."""
    if code >= table.shape[0]:
        return ALONE, np.uint64(code)
    entry = np.int64(table[code])
    return entry >> 24, np.uint64(entry & 0xFFFFFF)


@njit(cache=True, nogil=True)
def _parts(letters, places, size, parts, mask, buckets, spans, found):
    """The n-grams of `parts` characters of one word, its edges counted as characters."""
    size = min(size, LONGEST)
    letters[0], letters[size + 1] = _EDGE, _EDGE
    keep_spans = spans.shape[0] > 0
    for start in range(size + 2 - parts + 1):
        hash_ = _PARTS
        for letter in letters[start : start + parts]:
            hash_ = (hash_ ^ letter) * _PRIME
        buckets[found] = np.uint32(mix(hash_) & mask)
        if keep_spans:
            spans[found, 0] = places[max(start, 1)]
            spans[found, 1] = places[min(start + parts, size + 1)]
        found += 1
    return found


@njit(cache=True, nogil=True)
def score_texts(data, offsets, scheme, weights, bias):
    """The probability of "good" for each text between two `offsets`, as float32."""
    room = _room(scheme, False)
    buckets = room[2]
    scores = np.empty(offsets.shape[0] - 1, np.float32)
    for text in range(scores.shape[0]):
        found = _extract(data, offsets[text], offsets[text + 1], scheme, room)
        total = 0.0
        for feature in range(found):
            total += weights[buckets[feature]]
        scores[text] = np.float32(1 / (1 + np.exp(-(bias + total / max(found, 1)))))
    return scores


@njit(cache=True, nogil=True)
def bag_text(data, begin, end, scheme, slots, buckets, shares, filled):
    """Append a text's different buckets, in their order, with their share of its n-grams.

    `slots` (int64, one for each bucket) says where a bucket was last put, and starts as -1.
    Returns how many entries of `buckets` and `shares` are filled, or -1 where they ran out of room.
    """
    room = _room(scheme, False)
    found = _extract(data, begin, end, scheme, room)
    first = filled
    if filled + found > buckets.shape[0]:
        return -1
    for bucket in room[2][:found]:
        if slots[bucket] >= first:
            shares[slots[bucket]] += 1
        else:
            slots[bucket] = filled
            buckets[filled], shares[filled] = bucket, 1
            filled += 1
    shares[first:filled] /= max(found, 1)
    return filled


@njit(cache=True, nogil=True)
def locate(data, offsets, scheme, wanted, most, rows):
    """Where the `wanted` buckets (numbered from 0, others -1) stand, up to `most` times each.

    Writes bucket number, first byte and one past the last into `rows`; returns how many.
    """
    room = _room(scheme, True)
    buckets, spans = room[2], room[3]
    seen = np.zeros(rows.shape[0], np.int64)
    filled = 0
    for text in range(offsets.shape[0] - 1):
        for feature in range(_extract(data, offsets[text], offsets[text + 1], scheme, room)):
            number = wanted[buckets[feature]]
            if number >= 0 and seen[number] < most:
                seen[number] += 1
                rows[filled, 0] = number
                rows[filled, 1], rows[filled, 2] = spans[feature, 0], spans[feature, 1]
                filled += 1
    return filled


@njit(cache=True, nogil=True)
def learn(order, buckets, shares, ends, labels, class_weights, weights, squares, bias, rate, l2):
    """One pass of Adagrad over the examples in this order, changing `weights` and `squares`.

    The loss of an example is its class's weight times the logistic loss, plus l2 / 2 times the
    squared weights of its own n-grams. `bias` has two entries, itself and its sum of squares.
    Source: Duchi et al., Adaptive Subgradient Methods, JMLR 12 (2011), the diagonal form.
    """
    for example in order:
        first = ends[example - 1] if example > 0 else 0
        total = bias[0]
        for place in range(first, ends[example]):
            total += weights[buckets[place]] * shares[place]
        error = 1 / (1 + np.exp(-total)) - labels[example]
        error *= class_weights[np.int64(labels[example])]
        for place in range(first, ends[example]):
            bucket = buckets[place]
            slope = error * shares[place] + l2 * weights[bucket]
            squares[bucket] += slope * slope
            weights[bucket] -= rate * slope / (np.sqrt(squares[bucket]) + 1e-12)
        bias[1] += error * error
        bias[0] -= rate * error / (np.sqrt(bias[1]) + 1e-12)
