"""Verdicts judged again, from the signals that a cleaning kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from flows.replay import Change, replay
from storage.errors import RequestError
from storage.parquet import shard_name
from storage.records import signals_schema
from storage.store import Store
from tasks.clean.config import CleanConfig
from tasks.clean.filters import GopherQuality, Length
from tasks.clean.funnel import KEPT
from tests.flows.conftest import Cli
from tests.flows.sealed import seal


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A cleaning of four texts of three English words (0.5), all kept."""

    def text(number: int) -> dict[str, Any]:
        facts = {"id": f"{number:032x}", "url": f"http://a.example/{number}", "reason": KEPT}
        return {**facts, "language": "en", "language_score": 0.5, "num_words": 3.0}

    schema = signals_schema(["num_words"])
    parts = ([text(0), text(1), text(2)], [text(3)])
    files: dict[str, pa.Table | bytes] = {
        shard_name("signals", index, 2): pa.Table.from_pylist(rows, schema=schema)
        for index, rows in enumerate(parts)
    }
    seal(tmp_path / "store", "clean", "20261121-020101-000-bbbb", files)
    return Store(str(tmp_path / "store"))


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
