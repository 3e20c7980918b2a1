"""Shingles, compiled, against what they are in plain Python."""

from __future__ import annotations

import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.similarity.shingles import (
    _UNSPACED,
    Shingles,
    Texts,
    shingle_hash,
    shingle_sets,
    text_hashes,
)

WORDS = st.lists(st.sampled_from(["a", "b", "cạ", "日本", "Đ", "!"]), max_size=14).map(" ".join)
ANY = st.text(max_size=60) | WORDS


def _texts(*texts: str) -> Texts:
    return Texts.of(pa.array(texts, pa.string()))


def _sets(texts: list[str], shingles: Shingles) -> list[set[int]]:
    sets, sizes = shingle_sets(_texts(*texts), shingles)
    return [set(part.tolist()) for part in np.split(sets, np.cumsum(sizes)[:-1])]


def _expected(words: list[str], size: int) -> set[int]:
    runs = range(max(len(words) - size + 1, 1))
    return {shingle_hash(" ".join(words[i : i + size]).encode()) for i in runs}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The CAT, the cat's 9 lives!", ["the", "cat", "the", "cat", "s", "9", "lives"]),
        ("Má mà mả mã mạ", ["má", "mà", "mả", "mã", "mạ"]),
        ("ẹ́kọ́ ẹ̀kọ́", ["ẹ́kọ́", "ẹ̀kọ́"]),  # Yoruba: no composed form
        ("की कि", ["की", "कि"]),  # Hindi: a vowel is a mark
        ("ก่า", ["ก่", "า"]),  # Thai: no spaces between words; a tone stays with its letter
        ("日本 語abc漢", ["日", "本", "語", "abc", "漢"]),
        ("ΟΔΟΣ οδος", ["οδοσ", "οδοσ"]),
        ("İstanbul co\u00adoperate \u200dx", ["istanbul", "cooperate", "x"]),
        ("snake_case x2", ["snake_case", "x2"]),
        ("𐐀 😀", ["𐐨"]),
        ("❤️ — …", []),
        ("", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    for size in (1, 2, 5):
        assert _sets([text], Shingles(size=size)) == [_expected(words, size)]


@given(st.lists(ANY, min_size=1, max_size=5), st.integers(1, 4))
def test_words_of_any_text(texts: list[str], size: int) -> None:
    assert _sets(texts, Shingles(size=size)) == [_expected(_plain(t), size) for t in texts]


def _plain(text: str) -> list[str]:
    """Words of a text without invisible characters and scripts without spaces, spelt out."""
    words, alone = [""], False
    for letter in text:
        if ord(letter) in (0xAD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF):
            continue
        is_mark = unicodedata.category(letter)[0] == "M"
        if is_mark and words[-1]:
            words[-1] += letter
        elif letter == "_" or (letter.isalnum() and not is_mark):
            is_alone = any(first <= ord(letter) <= last for first, last in _UNSPACED)
            if (alone or is_alone) and words[-1]:
                words.append("")
            low = letter.lower()[0]
            words[-1] += chr(0x3C3) if ord(low) == 0x3C2 else low
            alone = is_alone
        elif not is_mark:
            words.append("")
            alone = False
    return [word for word in words if word]


def test_shingles_are_runs_of_words() -> None:
    assert _sets(["a b c d"], Shingles(size=3)) == [
        {shingle_hash(b"a b c"), shingle_hash(b"b c d")}
    ]
    assert _sets(["a a a a a"], Shingles(size=2)) == [{shingle_hash(b"a a")}]


@pytest.mark.parametrize(("text", "shingle"), [("a B", b"a b"), ("", b""), ("!?", b"")])
def test_a_short_document_is_one_shingle(text: str, shingle: bytes) -> None:
    assert _sets([text], Shingles()) == [{shingle_hash(shingle)}]


def test_characters() -> None:
    same = Shingles(unit="characters", size=3)
    one, other, more = _sets(["Ab, C!", "  a b c", "ab c"], same)
    assert one == more
    assert len(one) == 2  # "ab ", "b c"
    assert len(other) == 3
    assert _sets(["日本語"], same) == _sets(["日本語。"], same)


@pytest.mark.parametrize("unit", ["words", "characters"])
def test_marks_can_be_folded(unit: str) -> None:
    texts = ["con má", "con mà", "con ma", "con ma\u0301"]
    assert len({frozenset(s) for s in _sets(texts, Shingles(unit=unit, size=1))}) == 4
    folded = Shingles(unit=unit, size=1, fold_marks=True)
    assert len({frozenset(s) for s in _sets(texts, folded)}) == 1


@pytest.mark.parametrize("unit", ["words", "characters"])
def test_what_follows_the_cap_counts_for_nothing(unit: str) -> None:
    capped = Shingles(unit=unit, size=2, max_units=1000)
    head = " ".join(f"w{n}" for n in range(1000))
    one, other = _sets([head + " and so on", head + " or not"], capped)
    assert one == other
    assert len(one) <= 999
    one, other = _sets([head + " and so on", head + " or not"], Shingles(unit=unit, size=2))
    assert one != other


@given(st.lists(ANY, min_size=1, max_size=6))
def test_one_text_does_not_change_the_next(texts: list[str]) -> None:
    together = _sets(texts, Shingles(size=2))
    assert together == [_sets([text], Shingles(size=2))[0] for text in texts]
    hashes = text_hashes(_texts(*texts), Shingles()).tolist()
    assert hashes == [text_hashes(_texts(text), Shingles())[0] for text in texts]


@given(WORDS, WORDS)
def test_text_hashes_tell_words_in_their_order(one: str, other: str) -> None:
    first, second = text_hashes(_texts(one, other), Shingles()).tolist()
    assert (first == second) == (_plain(one) == _plain(other))


def test_slices_and_large_strings_are_read_in_place() -> None:
    array = pa.array(["zero", "one two", "drei vier fünf", ""], pa.string())
    for column in (array.slice(1), array.slice(1).cast(pa.large_string())):
        hashes = text_hashes(Texts.of(column), Shingles()).tolist()
        assert hashes == text_hashes(_texts("one two", "drei vier fünf", ""), Shingles()).tolist()


def test_sets_are_sorted_and_distinct_across_batches() -> None:
    texts = [f"w{n} a b c a b c a b c " * 3000 for n in range(400)]  # three batches
    sets, sizes = shingle_sets(_texts(*texts), Shingles())
    assert sizes.size == 400
    for part in np.split(sets, np.cumsum(sizes)[:-1])[::57]:
        assert (np.diff(part.astype(object)) > 0).all()
