"""The merges of byte-pair encoding, from counted sequences of symbols, in machine code.

The occurrences of each pair are a linked list over the symbols, so that a merge costs what it
changes, and a run of a million letters no more than as many words. Counts have 64 bits.
`tokenizers`' own trainer counts pairs in 32 bits and takes no counts
of words; nor does rustbpe 0.1. Loops stand in functions of their own: numba 0.68 compiled one
long function wrongly (a name bound in several loops kept an old value). Importing numba takes
half a second: import this module inside functions only.
"""

from __future__ import annotations

import heapq
from typing import NamedTuple

import numpy as np
from numba import int64, njit, types
from numba.typed import Dict

_STEP = np.uint64(0x9E3779B97F4A7C15)


class Tokens(NamedTuple):
    """What is kept of each token: the hash of its symbols, that hash's power, and its words."""

    hashes: np.ndarray
    powers: np.ndarray
    words: np.ndarray


def first_tokens(num: int) -> Tokens:
    """Give the tokens of `num` symbols, which are of no word."""
    seeds = np.arange(1, num + 1, dtype=np.uint64) * _STEP
    return Tokens(seeds ^ (seeds >> np.uint64(29)), np.full(num, _STEP), np.zeros(num, np.int64))


class _Sequences(NamedTuple):
    """Symbols in linked sequences, and at each the pair that it begins, in a list of that pair's.

    Every array has an item a symbol but `counts`, one a sequence, and the last two, one a pair.
    """

    symbols: np.ndarray
    owner: np.ndarray
    after: np.ndarray
    before: np.ndarray
    pair: np.ndarray
    next_alike: np.ndarray
    last_alike: np.ndarray
    counts: np.ndarray
    first: np.ndarray
    totals: np.ndarray


@njit(cache=True, nogil=True)
def _sequences(symbols, ends, counts):
    num = symbols.size
    most_pairs = 3 * num  # a merge takes a symbol off and links two pairs anew
    owner, after, before = np.empty(num, np.int32), np.empty(num, np.int32), np.empty(num, np.int32)
    for word in range(counts.size):
        for place in range(ends[word], ends[word + 1]):
            owner[place], before[place], after[place] = word, place - 1, place + 1
        if ends[word] < ends[word + 1]:
            before[ends[word]] = after[ends[word + 1] - 1] = -1
    return _Sequences(
        symbols,
        owner,
        after,
        before,
        np.full(num, -1, np.int32),
        np.empty(num, np.int32),
        np.empty(num, np.int32),
        counts,
        np.empty(most_pairs, np.int32),
        np.empty(most_pairs, np.int64),
    )


@njit(cache=True, nogil=True)
def _link(of, at, index, words, most_words):
    """Count the pair that begins at `at`; returns its number, or -1 if it may not be merged."""
    a, b = int64(of.symbols[at]), int64(of.symbols[of.after[at]])
    if words[a] + words[b] > most_words:
        return -1
    key = a << int64(32) | b
    if key in index:
        number = index[key]
    else:
        number = len(index)
        index[key] = number
        of.first[number], of.totals[number] = -1, 0
    head = of.first[number]
    of.pair[at], of.next_alike[at], of.last_alike[at] = number, head, -1
    if head >= 0:
        of.last_alike[head] = at
    of.first[number] = at
    of.totals[number] += of.counts[of.owner[at]]
    return number


@njit(cache=True, nogil=True)
def _unlink(of, at):
    number = of.pair[at]
    if number < 0:
        return
    last, following = of.last_alike[at], of.next_alike[at]
    if last >= 0:
        of.next_alike[last] = following
    else:
        of.first[number] = following
    if following >= 0:
        of.last_alike[following] = last
    of.totals[number] -= of.counts[of.owner[at]]
    of.pair[at] = -1


@njit(cache=True, nogil=True)
def _occurrences(of, pair, in_order):
    places = [int64(0) for _ in range(0)]
    place = int64(of.first[pair])
    while place >= 0:
        places.append(place)
        place = int64(of.next_alike[place])
    if in_order:
        places.sort()
    return places


@njit(cache=True, nogil=True)
def _merge(of, pair, made, index, words, most_words):
    """Put `made` where a pair is; returns the pairs that are there now, some more than once."""
    touched = [int64(0) for _ in range(0)]
    head = of.first[pair]
    alike = of.symbols[head] == of.symbols[of.after[head]]
    for left in _occurrences(of, pair, alike):  # of aaa, the first two
        if of.pair[left] != pair:
            continue
        right, before = int64(of.after[left]), int64(of.before[left])
        after = int64(of.after[right])
        _unlink(of, left)
        _unlink(of, right)
        of.symbols[left] = made
        of.after[left] = after
        if before >= 0:
            _unlink(of, before)
            touched.append(_link(of, before, index, words, most_words))
        if after >= 0:
            of.before[after] = left
            touched.append(_link(of, left, index, words, most_words))
    return touched


@njit(cache=True, nogil=True)
def merge_pairs(symbols, ends, counts, tokens, most, least, most_words):
    """Merge the commonest pair until there are `most` tokens; returns merges and all tokens.

    Sequence w is `symbols[ends[w]:ends[w + 1]]` and occurs `counts[w]` times. A merge (left, right,
    made) makes a token anew, or one that others made of the same symbols; of pairs as common, the
    least is merged, as `tokenizers` has it. Pairs under `least`, or of more than `most_words`
    words, are not merged. `symbols` is overwritten.
    """
    num, known = symbols.size, tokens.hashes.size
    hashes, powers = np.empty(most, np.uint64), np.empty(most, np.uint64)
    words, ids = np.zeros(most, np.int64), Dict.empty(types.uint64, types.int64)
    hashes[:known], powers[:known] = tokens.hashes, tokens.powers
    words[:known] = tokens.words
    for token in range(known):
        ids[hashes[token]] = token
    of, index = _sequences(symbols, ends, counts), Dict.empty(types.int64, types.int64)
    for place in range(num):
        if of.after[place] >= 0:
            _link(of, place, index, words, most_words)
    heap = [(-of.totals[n], key >> int64(32), key & int64(0xFFFFFFFF)) for key, n in index.items()]
    heapq.heapify(heap)
    merges = [(int64(0), int64(0), int64(0)) for _ in range(0)]
    seen = np.zeros(of.totals.size, np.int32)
    while known < most and len(heap) > 0:
        minus, a, b = heapq.heappop(heap)
        pair = index[a << int64(32) | b]
        total = of.totals[pair]
        if total < least:
            continue
        if total != -minus:
            heapq.heappush(heap, (-total, a, b))
            continue
        value = hashes[a] * powers[b] + hashes[b]
        made = known
        if value in ids:  # numba's `get` gives no plain number
            made = ids[value]
        if made == known:
            ids[value] = known
            hashes[known], powers[known] = value, powers[a] * powers[b]
            words[known] = words[a] + words[b]
            known += 1
        merges.append((a, b, made))
        touched = _merge(of, pair, made, index, words, most_words)
        for number in touched:
            if number >= 0 and seen[number] != len(merges) and of.totals[number] >= least:
                seen[number] = len(merges)
                place = of.first[number]
                left, right = int64(symbols[place]), int64(symbols[of.after[place]])
                heapq.heappush(heap, (-of.totals[number], left, right))
    return merges, Tokens(hashes[:known], powers[:known], words[:known])
