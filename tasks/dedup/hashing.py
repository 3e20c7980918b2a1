"""The hash of words and shingles, in plain Python: what the compiled passes compute, for others.

datasketch can be fed with it, so that its MinHashes compare with phusa's signatures:

    MinHash(num_perm=112, seed=1, scheme="affine32", hashfunc=shingle_hash32)

and `update(shingle)`, where a shingle is its words, in lower case, as UTF-8 with one space between.
"""

from __future__ import annotations

SEED = 0x9E3779B97F4A7C15
MULTIPLIER = 0x9E3779B185EBCA87
_MASK = (1 << 64) - 1


def shingle_hash(shingle: bytes) -> int:
    """64 bits: words fold in their code points, shingles their words."""
    state = SEED
    for word in shingle.decode().split():
        of_word = SEED
        for letter in word:
            of_word = (of_word ^ ord(letter)) * MULTIPLIER & _MASK
        state = (state ^ of_word) * MULTIPLIER & _MASK
        state ^= state >> 32
    return state


def shingle_hash32(shingle: bytes) -> int:
    """The lower 32 bits, of which affine32 signatures are made."""
    return shingle_hash(shingle) & 0xFFFFFFFF
