"""Verdicts judged again, from the signals that a cleaning kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.replay import KEPT, Change, replay
from storage.errors import RequestError
from storage.store import Store
from tasks.clean.config import CleanConfig
from tasks.clean.filters import GopherQuality, Length
from tests.flows.conftest import Cli
from tests.tasks.clean.test_task import Nights


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A cleaning of four texts of three English words (0.5), all kept."""
    place = Store(str(tmp_path / "store"))
    Nights(place)()
    return place


def test_another_bound_is_another_verdict(store: Store) -> None:
    found = replay(store, "clean", CleanConfig(filters=(Length(min_words=4),)))
    assert (found.before, found.after) == ({KEPT: 4}, {"too_few_words": 4})
    urls = tuple(f"http://a.example/{number}" for number in range(3))
    assert found.changes == (Change(KEPT, "too_few_words", 4, urls),)
    same = replay(store, found.label, CleanConfig(filters=(Length(min_words=3),)))
    assert same.after == {KEPT: 4} and same.changes == ()


def test_languages_count_too(store: Store) -> None:
    config = CleanConfig(filters=(), languages=("en",), min_language_score=0.6)
    assert replay(store, "clean", config).after == {"unsure_language": 4}
    assert replay(store, "clean", CleanConfig(filters=(), languages=("vi",))).after == {
        "other_language": 4
    }


def test_a_signal_that_was_not_measured_is_named(store: Store) -> None:
    with pytest.raises(RequestError, match="did not measure mean_word_length"):
        replay(store, "clean", CleanConfig(filters=(Length(), GopherQuality())))


def test_the_command_tells_people_and_programs(store: Store, recipe: Path, cli: Cli) -> None:
    words = ("clean", "replay", recipe, "--store", store.address)
    words = (*words, "--set", "clean.filters=[{kind: length, min_words: 4}]")
    words = (*words, "--set", "clean.languages=[en]", "--set", "clean.min_language_score=0")
    said = cli(*words)
    assert said.code == 0 and "4 texts: kept → too_few_words" in said.out
    told = json.loads(cli(*words, "--json").out)
    assert told["after"] == {"too_few_words": 4}
