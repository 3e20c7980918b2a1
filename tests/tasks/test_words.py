from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.words import count_words, split_words


@given(st.text(st.sampled_from("ab9 -—_é日\n"), max_size=30), st.sampled_from(["en", "ja"]))
def test_words_but_symbols(text: str, language: str) -> None:
    words = split_words(text, language)
    assert count_words(text, language) == sum(any(c.isalnum() for c in word) for word in words)


@pytest.mark.parametrize(
    ("text", "language", "count"),
    [("a — b, c-d …", "en", 3), ("日本語。abc", "ja", 4), ("日本語。abc", "en", 1), ("", "en", 0)],
)
def test_by_language(text: str, language: str, count: int) -> None:
    assert count_words(text, language) == count
