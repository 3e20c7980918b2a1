"""Keys of bands of signatures, and forests of the documents that they link."""

from __future__ import annotations

import numpy as np
from numba import njit, uint64

# Those of `shingles`, spelt out: the cache of compiled code looks at this file's time alone.
_SEED, _MULTIPLIER = np.uint64(0x9E3779B97F4A7C15), np.uint64(0x9E3779B185EBCA87)
_SECOND_MULTIPLIER = np.uint64(0xD6E8FEB86659FD93)

# Of thousands with one key, each is held against so many: what is alike shares other keys, too.
_NEIGHBOURS = 64


@njit(nogil=True, cache=True)
def band_keys(signatures, num_bands, num_rows, keys):
    """Put a 64-bit key of each band of each signature into `keys` (bands x texts)."""
    for text in range(signatures.shape[0]):
        for band in range(num_bands):
            state = _SEED + uint64(band)
            for row in range(band * num_rows, (band + 1) * num_rows):
                state = (state ^ uint64(signatures[text, row])) * _SECOND_MULTIPLIER
                state ^= state >> uint64(32)
            keys[band, text] = state * _MULTIPLIER


@njit(nogil=True, cache=True)
def merge_edges(parents, edges):
    """Join the trees of a forest over which `edges` (pairs) go; the root is the lowest number."""
    for at in range(edges.shape[0]):
        one, other = find(parents, edges[at, 0]), find(parents, edges[at, 1])
        if one < other:
            parents[other] = one
        elif other < one:
            parents[one] = other


@njit(nogil=True, cache=True)
def find(parents, node):
    """The root of a node; the way there is halved."""
    while parents[node] != node:
        parents[node] = parents[parents[node]]
        node = parents[node]
    return node


@njit(nogil=True, cache=True)
def find_all(parents):
    """Point every node at its root."""
    for node in range(parents.size):
        parents[node] = find(parents, node)


@njit(nogil=True, cache=True)
def link_alike(keys, nodes, signatures, least, parents):
    """Join documents that share a key where `least` of their signatures' minima are equal.

    `keys` are sorted, those of the documents `nodes`; `signatures` has a row for each document.
    """
    for at in range(1, keys.size):
        before = at - 1
        while before >= max(at - _NEIGHBOURS, 0) and keys[before] == keys[at]:
            one, other = find(parents, nodes[before]), find(parents, nodes[at])
            if one != other:
                same = 0
                for place in range(signatures.shape[1]):
                    same += signatures[nodes[before], place] == signatures[nodes[at], place]
                if same >= least:
                    parents[max(one, other)] = min(one, other)
            before -= 1
