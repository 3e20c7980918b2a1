"""Shingles and their exact similarity."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.dedup.shingles import Shingled, similarities

WORDS = st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), max_size=14).map(" ".join)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The CAT, the cat's 9 lives!", ["the", "cat", "the", "cat", "s", "9", "lives"]),
        ("Má mà mả mã mạ", ["má", "mà", "mả", "mã", "mạ"]),
        ("ẹ́kọ́ ẹ̀kọ́", ["ẹ́kọ́", "ẹ̀kọ́"]),  # Yoruba: no composed form
        ("की कि", ["की", "कि"]),  # Hindi: a vowel is a mark
        ("ก่า ก้า", ["ก่า", "ก้า"]),  # Thai: so is a tone
        ("日本 語", ["日本", "語"]),
        ("❤️ — …", []),
        ("", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert Shingled(text, 5).words == words


def test_shingles_are_runs_of_words() -> None:
    assert set(Shingled("a b c d", 3).shingles) == {b"a b c", b"b c d"}
    assert Shingled("a a a a a", 2).shingles == [b"a a"]


@pytest.mark.parametrize(("text", "shingle"), [("a B", b"a b"), ("", b""), ("!?", b"")])
def test_a_short_document_is_one_shingle(text: str, shingle: bytes) -> None:
    shingled = Shingled(text, 5)
    assert shingled.shingles == [shingle]
    assert shingled.hashes.size == 1


@given(WORDS, st.lists(WORDS, min_size=1, max_size=6), st.integers(1, 4))
def test_similarity_is_exact_jaccard(text: str, others: list[str], size: int) -> None:
    def shingled(text: str) -> Shingled:
        return Shingled(text, size)

    own = set(shingled(text).shingles)
    sets = [set(shingled(other).shingles) for other in others]
    measured = similarities(shingled(text).hashes, [shingled(o).hashes for o in others])
    assert measured.tolist() == [len(own & other) / len(own | other) for other in sets]


@given(WORDS, WORDS)
def test_similarity_is_symmetric_and_a_share(one: str, other: str) -> None:
    a, b = Shingled(one, 2).hashes, Shingled(other, 2).hashes
    assert similarities(a, [b]) == similarities(b, [a])
    assert 0 <= similarities(a, [b])[0] <= 1
    assert similarities(a, [a]) == 1


@given(WORDS)
def test_hashes_are_a_sorted_set(text: str) -> None:
    hashes = Shingled(text, 2).hashes
    assert hashes.dtype == np.uint64
    assert (np.diff(hashes.astype(object)) > 0).all()
    assert hashes.size == len(Shingled(text, 2).shingles)
