"""What two texts differ by: nothing is lost, nothing is made up, and no text takes long."""

from __future__ import annotations

import random
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.duplicates.differences import Piece, changed_spans, compare

TOKENS = st.lists(st.sampled_from("abcdefgh"), max_size=40)


@settings(deadline=None)
@given(TOKENS, TOKENS)
def test_spans_turn_one_sequence_into_the_other(one: list[str], other: list[str]) -> None:
    built, at, to = [], 0, 0
    for start, end, begin, stop in changed_spans(one, other):
        assert one[at:start] == other[to:begin]  # what lies between is the same
        assert (start, begin) >= (at, to) and (end > start or stop > begin)
        built += one[at:start] + other[begin:stop]
        at, to = end, stop
    assert built + one[at:] == other


def test_words_that_changed_are_named_and_the_rest_is_folded() -> None:
    same = " ".join(f"w{n}" for n in range(40))
    found = compare(f"{same} red {same} end", f"{same} blue {same} end more")
    assert (found.only_kept, found.only_dropped, found.more) == (1, 2, 0)
    shown = [(piece.where, piece.text.split(), piece.folded) for piece in found.pieces]
    around = same.split()
    assert shown == [
        ("both", [], 32),
        ("both", around[-8:], 0),
        ("kept", ["red"], 0),
        ("dropped", ["blue"], 0),
        ("both", around[:8], 25),
        ("both", [*around[-7:], "end"], 0),
        ("dropped", ["more"], 0),
    ]


def test_lines() -> None:
    found = compare("one\ntwo\nthree\n", "one\n2\nthree\n", "lines")
    assert found.pieces == (
        Piece("both", "one\n"),
        Piece("kept", "two\n"),
        Piece("dropped", "2\n"),
        Piece("both", "three\n"),
    )


@pytest.mark.parametrize(
    ("kept", "dropped"), [("a b\nc", "a  b c \n"), ("", ""), ("", " \n"), ("我 们", "我们")]
)
def test_white_space_is_no_difference(kept: str, dropped: str) -> None:
    assert compare(kept, dropped).pieces == ()


def test_where_words_have_no_spaces_letters_are_compared() -> None:
    found = compare("我们在这里吃饭", "我们在那里吃饭")
    assert [p.text for p in found.pieces if p.where != "both"] == ["这", "那"]
    assert (found.only_kept, found.only_dropped) == (1, 1)


def test_many_and_long_changes_are_counted() -> None:
    one = " ".join(f"same{n} old{n}" for n in range(50))
    other = " ".join(f"same{n} new{n}" for n in range(50))
    found = compare(one, other)
    assert (found.only_kept, found.only_dropped, found.more) == (50, 50, 30)
    assert sum(piece.where == "kept" for piece in found.pieces) == 20
    (piece,) = compare("", " ".join(f"w{n}" for n in range(100))).pieces
    assert len(piece.text.split()) == 60 and piece.folded == 40


@pytest.mark.parametrize("vocabulary", [2, 300, 10**6])
def test_a_long_text_takes_a_moment(vocabulary: int) -> None:
    draw = random.Random(1)
    words = [f"w{draw.randrange(vocabulary)}" for _ in range(20_000)]
    changed = [w if draw.random() > 0.01 else "other" for w in words]
    began = process_time()
    found = compare(" ".join(words), " ".join(changed))
    assert process_time() - began < 5  # 0.3 s here; difflib alone takes minutes for two words
    if vocabulary > 2:
        assert found.only_kept == sum(a != b for a, b in zip(words, changed, strict=True))
