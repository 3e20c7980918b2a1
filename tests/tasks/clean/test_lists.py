"""Lists in recipes and in files."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from storage.errors import RequestError
from tasks.clean.config import CleanConfig
from tasks.clean.filters import Candidate, WordBlocklist
from tasks.clean.filters.terms import ListFile, listed
from tasks.config import identity


@pytest.fixture
def words(tmp_path: Path) -> Path:
    path = tmp_path / "words.txt"
    path.write_text("\ufeff# a comment\n Bad \n\nvery worse\r\n", encoding="utf-8")
    return path


def test_a_file_holds_an_entry_a_line(words: Path) -> None:
    assert listed(("Own", ListFile(path=str(words)))) == {"own", "bad", "very worse"}
    rule = WordBlocklist(terms=("own", ListFile(path=str(words))))
    assert rule.measure(Candidate("own bad, very worse", "en")) == {"num_blocked_words": 3}


def test_a_file_is_known_by_its_content_and_not_its_place(words: Path, tmp_path: Path) -> None:
    def fingerprinted(path: Path) -> object:
        rule = WordBlocklist(terms=(ListFile(path=str(path)),))
        return identity(CleanConfig(filters=(rule,)))

    moved = tmp_path / "moved.txt"
    moved.write_bytes(words.read_bytes())
    before = fingerprinted(words)
    assert fingerprinted(moved) == before
    words.write_text("other")
    assert fingerprinted(words) != before


def test_a_file_that_changed_since_the_recipe_was_read_is_refused(words: Path) -> None:
    given = ListFile(path=str(words))
    words.write_text("other")
    with pytest.raises(RequestError, match=f"expected the list whose digest is {given.digest}"):
        given.entries()
    words.unlink()
    with pytest.raises(RequestError, match="No such file"):
        given.entries()


def test_a_recipe_may_be_read_again_where_the_file_is_not(words: Path) -> None:
    plain = WordBlocklist(terms=(ListFile(path=str(words)),)).model_dump(mode="json")
    words.unlink()
    assert WordBlocklist.model_validate(plain).model_dump(mode="json") == plain


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"cannot read .*expected a file"):
        CleanConfig.model_validate(
            {"filters": [{"kind": "word_blocklist", "terms": [{"path": str(tmp_path / "none")}]}]}
        )
