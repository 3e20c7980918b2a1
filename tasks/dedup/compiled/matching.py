"""Which documents of a component go, and for which kept one: compiled, without the GIL.

Loops stand where numpy has a function: slices that are assigned, `searchsorted` and `argsort` took
7 of the 12 seconds that compiling this took.
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint64

JACCARD, COSINE = 0, 1

# Components above it are searched by their rarest shingles: of 5 000 pages that share 71 % of
# their shingles, each with all, measuring every pair took 7 s; this takes 0.4 s.
LARGE = 256


@njit(inline="always")
def _least_shared(size, other_size, least):
    """How many shingles two sets have to share for a similarity of `least`."""
    return int(np.ceil(least / (1 + least) * (size + other_size) - 1e-9))  # 7.000000000000001 is 7


@njit(nogil=True, cache=True)
def jaccard(sets, start, size, other_start, other_size, least):
    """|A & B| / |A | B| of two sorted sets within `sets`; -1 as soon as it is sure to be less than
    `least`.
    """
    needed = _least_shared(size, other_size, least)
    if min(size, other_size) < needed:
        return -1.0
    end, other_end = start + size, other_start + other_size
    at, there, shared = start, other_start, 0
    while at < end and there < other_end:
        if shared + min(end - at, other_end - there) < needed:
            return -1.0
        one, other = sets[at], sets[there]
        shared += one == other
        at += one <= other
        there += other <= one
    similarity = shared / (size + other_size - shared)
    return similarity if similarity >= least else -1.0


@njit(nogil=True, cache=True)
def _cosine(vectors, one, other):
    total = np.float64(0)
    for at in range(vectors.shape[1]):
        total += np.float64(vectors[one, at]) * np.float64(vectors[other, at])
    return total


@njit(nogil=True, cache=True)
def _measure(one, other, listed, rules):
    """(index of the first method by which two documents are duplicates, or -1; how near)."""
    keys, ends, measures, leasts = listed.keys, rules.ends, rules.measures, rules.leasts
    first, similarity = 0, -2.0
    for method in range(ends.size):
        shares = False
        for column in range(first, ends[method]):
            shares |= keys[one, column] == keys[other, column]
        first = ends[method]
        if not shares:
            continue
        if measures[method] == COSINE:
            near = _cosine(listed.vectors, one, other)
            if near >= leasts[method]:
                return method, near
            continue
        if similarity == -2.0:
            lowest = 1.0
            for m in range(ends.size):
                if measures[m] == JACCARD:
                    lowest = min(lowest, leasts[m])
            starts, sizes = listed.starts, listed.sizes
            similarity = jaccard(
                listed.sets, starts[one], sizes[one], starts[other], sizes[other], lowest
            )
        if similarity >= leasts[method]:
            return method, similarity
    return -1, -1.0


@njit(nogil=True, cache=True)
def match_components(bounds, num_earlier, listed, rules, kept_for, found):
    """Take the documents of each component in their order; keep each that no kept one resembles.

    Component c is `bounds[c]:bounds[c + 1]` of the `listed` (a `Shortlist`), in the order of the
    keep policy; its first `num_earlier[c]` were kept by an earlier run, and stay. `kept_for`
    receives the kept document for which each goes, or -1; `found` the method (its place among the
    `Rules`), and the similarity.
    """
    widest = 0
    for c in range(bounds.size - 1):
        widest = max(widest, bounds[c + 1] - bounds[c])
    seen = np.full(widest, -1, np.int64)
    is_searchable = True
    for method in range(rules.ends.size):
        is_searchable &= rules.measures[method] == JACCARD and rules.leasts[method] > 0
    for c in range(bounds.size - 1):
        first, last = bounds[c], bounds[c + 1]
        seen[: last - first] = -1
        if last - first > LARGE and is_searchable:
            _match_by_rare_shingles(
                first, last, num_earlier[c], listed, rules, seen, kept_for, found
            )
        else:
            _match_by_keys(first, last, num_earlier[c], listed, rules, seen, kept_for, found)


@njit(nogil=True, cache=True)
def _consider(one, other, best, listed, rules, kept_for, found):
    """Take `other` for `one` if it is nearer than what was found, or as near and better ranked."""
    method, near = _measure(one, other, listed, rules)
    if method >= 0 and (near > best or (near == best and other < kept_for[one])):
        kept_for[one], found[one, 0], found[one, 1] = other, method, near
        return near
    return best


@njit(nogil=True, cache=True)
def _match_by_keys(first, last, num_earlier, listed, rules, seen, kept_for, found):
    """Candidates are the kept documents that stand under one of the document's keys."""
    keys = listed.keys
    width = keys.shape[1]
    slots = 4
    while slots < 2 * width * (last - first):
        slots *= 2
    mask = uint64(slots - 1)
    heads = np.full(slots, -1, np.int64)  # of chains of kept documents, through `following`
    following = np.full((last - first) * width, -1, np.int64)
    for one in range(first, last):
        best = -1.0
        kept_for[one] = -1
        if one - first >= num_earlier:
            for column in range(width):
                at = heads[(keys[one, column] ^ (keys[one, column] >> uint64(32))) & mask]
                while at >= 0:
                    other = first + at // width
                    if seen[other - first] != one:
                        seen[other - first] = one
                        best = _consider(one, other, best, listed, rules, kept_for, found)
                    at = following[at]
        if kept_for[one] >= 0:
            continue
        for column in range(width):
            slot = (keys[one, column] ^ (keys[one, column] >> uint64(32))) & mask
            at = (one - first) * width + column
            following[at] = heads[slot]
            heads[slot] = at


@njit(nogil=True, cache=True)
def _match_by_rare_shingles(first, last, num_earlier, listed, rules, seen, kept_for, found):
    """Candidates are the kept documents that share one of the document's rarest shingles.

    Without loss: behind the rarest shingle that two documents share come all others that they do,
    so that it stands near the front in both.
    Source: Xiao et al., WWW 2008 (PPJoin), lemmas 1 and 2.
    """
    sets, starts, sizes = listed.sets, listed.starts, listed.sizes
    least = min(1.0, rules.leasts.min())
    total = 0
    for one in range(first, last):
        total += sizes[one]
    every = np.empty(total, np.uint64)
    to = 0
    for one in range(first, last):
        for at in range(starts[one], starts[one] + sizes[one]):
            every[to] = sets[at]
            to += 1
    every.sort()
    distinct, counts, num = _count_distinct(every)
    heads = np.full(num, -1, np.int64)
    following, holders = np.empty(total, np.int64), np.empty(total, np.int64)
    ranks = np.empty(total, np.int64)
    num_chained = 0
    widest, of_all = 0, uint64(num)
    for one in range(first, last):
        widest = max(widest, sizes[one])
    room = np.empty(widest, np.uint64)
    for one in range(first, last):
        size = sizes[one]
        rarest = _by_rarity(sets, starts[one], size, distinct, counts, num, room)
        length = size - int(np.ceil(least * size - 1e-9)) + 1
        best = -1.0
        kept_for[one] = -1
        if one - first >= num_earlier:
            for nth in range(min(length, size)):
                at = heads[rarest[nth] % of_all]
                while at >= 0:
                    other = holders[at]
                    shared = _least_shared(size, sizes[other], least)
                    is_near = nth <= size - shared and ranks[at] <= sizes[other] - shared
                    if is_near and seen[other - first] != one:
                        seen[other - first] = one
                        best = _consider(one, other, best, listed, rules, kept_for, found)
                    at = following[at]
        if kept_for[one] >= 0:
            continue
        for nth in range(min(length, size)):
            place = rarest[nth] % of_all
            if counts[place] > 1:
                following[num_chained], holders[num_chained] = heads[place], one
                ranks[num_chained] = nth
                heads[place] = num_chained
                num_chained += 1


@njit(nogil=True, cache=True)
def _by_rarity(sets, start, size, distinct, counts, num, room):
    """The places in `distinct` of a document's shingles, the rarest first: the rest of each value
    divided by `num`. The order is the same in all documents.
    """
    of_all = uint64(num)
    for nth in range(size):
        low, high = 0, num
        while low < high:
            middle = (low + high) // 2
            if distinct[middle] < sets[start + nth]:
                low = middle + 1
            else:
                high = middle
        room[nth] = uint64(counts[low]) * of_all + uint64(low)
    rarest = room[:size]
    rarest.sort()
    return rarest


@njit(nogil=True, cache=True)
def _count_distinct(values):
    """Distinct values of a sorted array, how often each stands there, and how many there are."""
    distinct, counts = np.empty(values.size, np.uint64), np.empty(values.size, np.int64)
    num = 0
    for at in range(values.size):
        if num and distinct[num - 1] == values[at]:
            counts[num - 1] += 1
        else:
            distinct[num], counts[num] = values[at], 1
            num += 1
    return distinct, counts, num


@njit(nogil=True, cache=True)
def expect_candidates(sets, starts, sizes, bands, rows, threshold):
    """Measure all pairs of a sample, and what banding would make of them.

    Returns (expected candidates below the threshold, pairs that reach it, expected candidates of
    them). Document d's sorted shingles are `sets[starts[d]:starts[d] + sizes[d]]`. A pair of
    similarity s is a candidate with the chance 1 - (1 - s**rows)**bands.
    """
    in_vain, alike, found = 0.0, 0, 0.0
    for one in range(starts.size):
        for other in range(one):
            near = jaccard(sets, starts[one], sizes[one], starts[other], sizes[other], 0.0)
            chance = 1 - (1 - near**rows) ** bands
            if near >= threshold:
                alike += 1
                found += chance
            else:
                in_vain += chance
    return in_vain, np.float64(alike), found
