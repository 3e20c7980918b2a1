"""Repeated n-grams, beside the plain way to find them."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tasks.clean.filters import Candidate, Repetition


def _top(words: list[str], n: int) -> int:
    """Gopher's rule by its words: the most frequent n-gram's characters, each time it stands."""
    grams = Counter(" ".join(words[i : i + n]) for i in range(len(words) - n + 1))
    gram, count = grams.most_common(1)[0] if grams else ("", 0)
    return len(gram) * count if count > 1 else 0


def _repeated(words: list[str], n: int) -> int:
    """Characters of n-grams that were seen before, going on behind each."""
    seen: set[tuple[str, ...]] = set()
    characters = place = 0
    while place <= len(words) - n:
        gram = tuple(words[place : place + n])
        if gram in seen:
            characters += len("".join(gram))
            place += n
        else:
            seen.add(gram)
            place += 1
    return characters


def _check(text: str) -> None:
    words = text.split()
    signals = Repetition().measure(Candidate(text, "en"))
    length = max(len(text), 1)
    for n in (2, 3, 4):
        assert signals[f"top_{n}_gram_character_share"] == _top(words, n) / length
    for n in range(5, 11):
        assert signals[f"repeated_{n}_gram_character_share"] == _repeated(words, n) / length


@given(st.lists(st.sampled_from(["a", "bb", "ccc", "ệ"]), max_size=60).map(" ".join))
def test_shares_are_those_found_plainly(text: str) -> None:
    _check(text)


@given(st.integers(1, 6), st.integers(100, 900), st.randoms(use_true_random=False))
def test_shares_of_many_words_are_those_found_plainly(kinds: int, num: int, draw: object) -> None:
    numbers = np.random.default_rng(hash(str(draw)) % 2**32).integers(0, 4**kinds, num)
    _check(" ".join(f"w{number}" for number in numbers.tolist()))
