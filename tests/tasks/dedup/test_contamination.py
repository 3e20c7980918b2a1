"""Documents that hold a piece of an evaluation set, against plain search for words."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import RequestError
from storage.parquet import read_table
from storage.records import CONTAMINATION
from tasks.config import identity
from tasks.dedup import contamination
from tasks.dedup.config import DedupConfig
from tasks.dedup.contamination import Screen, ScreenWork, Words
from tasks.dedup.evaluation import Decontamination, EvalSet
from tasks.dedup.methods import Exact
from tasks.similarity.shingles import Shingles, Texts, run_hashes, shingle_hash, shingle_sets
from tests.tasks.dedup.conftest import Row, document, run_passes

ITEM = "Which of these rivers carries the most silt to the sea each year of all?"
WORDS = st.lists(st.sampled_from(["a", "b", "B,", "ç", "日本", "\u00ad", "!"]), max_size=14)


def _txt(folder: Path, *items: str, name: str = "quiz") -> EvalSet:
    path = folder / f"{name}.txt"
    path.write_text("\n".join(items))
    return EvalSet(name=name, path=str(path))


def _screened(folder: Path, rows: list[Row], config: Decontamination, num_shards: int = 1) -> Any:
    root = folder / f"run-{len(list(folder.iterdir()))}"
    dedup = DedupConfig(methods=(Exact(),), decontaminate=config)
    passes = run_passes(root, rows, dedup, num_shards)
    assert isinstance(passes.all[0], ScreenWork)
    data = root / "dedup/data"
    told = read_table(sorted((data / "contaminated").iterdir()))
    assert told.schema.equals(CONTAMINATION)
    kept = read_table(passes.all[-1].outputs).to_pylist()
    return kept, told.to_pylist(), read_table(sorted((data / "rejects").rglob("*.p*"))).to_pylist()


def test_what_is_dropped_and_what_is_told_of_it(tmp_path: Path) -> None:
    quoted = (
        "He asked: “which of THESE rivers carries the most silt\nto the sea each year?” Nobody."
    )
    rows = [document("http://a/1", quoted), document("http://a/2", "which of these rivers is long")]
    config = Decontamination(sets=(_txt(tmp_path, "Another one", ITEM),))
    kept, told, rejects = _screened(tmp_path, rows, config)
    assert kept == rows[1:]
    [row] = told
    assert quoted[row["start"] : row["end"]] == row["text"]
    assert row["text"].startswith("which of THESE") and row["text"].endswith("each year")
    assert (row["evaluation_set"], row["item"], row["num_words"]) == ("quiz", "line 2", 13)
    assert [(r["reason"], r["value"], r["threshold"]) for r in rejects] == [
        ("contaminated", "13 words of quiz, line 2", "fewer than 12")
    ]


def test_passages_can_be_cut_instead(tmp_path: Path) -> None:
    left = "Some words of its own stand before it. Behind it stand some others, too."
    before, _, behind = left.partition(". ")
    rows = [document("http://a/1", f"{before}.\n{ITEM}\n{behind}"), document("http://a/2", ITEM)]
    config = Decontamination(sets=(_txt(tmp_path, ITEM),), action="cut")
    [row], told, rejects = _screened(tmp_path, rows, config)
    assert row["text"].replace("\n", " ").replace(" ? ", " ").split() == left.split()
    assert row["num_words"] == len(left.split())
    assert [r["reason"] for r in rejects] == ["little_left_by_contamination"]
    assert len(told) == 2


def test_short_items_are_matched_as_a_whole(tmp_path: Path) -> None:
    short, tiny = "what is the capital city of the republic", "true or false"
    rows = [
        document("http://a/1", f"so {short}, they said"),
        document("http://a/2", "what is the capital city of the kingdom"),
        document("http://a/3", f"{tiny} is on every second page of the web"),
    ]
    config = Decontamination(sets=(_txt(tmp_path, short, tiny),))
    kept, told, _ = _screened(tmp_path, rows, config)
    assert [row["url"] for row in kept] == ["http://a/2", "http://a/3"]
    assert [row["num_words"] for row in told] == [8]


@given(st.lists(WORDS, min_size=1, max_size=3), WORDS, st.integers(4, 6), st.integers(1, 6))
def test_against_plain_search(
    tmp_path_factory: Any, items: list[list[str]], document: list[str], size: int, least: int
) -> None:
    folder = tmp_path_factory.mktemp("sets")
    config = Decontamination(
        sets=(_txt(folder, *map(" ".join, items)),), size=size, min_words=least
    )
    words, screen = Words.of(" ".join(document)).words, Screen(config)
    expected = set()
    for number, item in enumerate(items, 1):
        of_item = Words.of(" ".join(item)).words
        length = min(size, len(of_item))
        if length < min(size, least):
            continue
        runs = [of_item[at : at + length] for at in range(len(of_item) - length + 1)]
        for at in range(len(words) - length + 1):
            if words[at : at + length] in runs:
                expected |= {(f"line {number}", word) for word in range(at, at + length)}
    matches = screen.matches(words)
    assert {(m.item.place, n) for m in matches for n in range(m.first, m.last)} == expected
    table = pa.table({"text": [" ".join(document)]})
    assert screen.candidates(table) == ([0] if expected else [])


@given(st.text(max_size=40) | WORDS.map(" ".join))
def test_words_are_those_of_the_kernels(text: str) -> None:
    found = Words.of(text)
    sets, _ = shingle_sets(Texts.of(pa.array([text])), Shingles(size=1))
    if found.words:
        assert set(sets.tolist()) == {shingle_hash(word.encode()) for word in found.words}
    for start, end, word in zip(found.starts, found.ends, found.words, strict=True):
        assert Words.of(text[start:end]).words == [word]


def _sevens(texts: Texts, size: int) -> Any:
    hashes, counts = run_hashes(texts, size)
    return np.full_like(hashes, 7), counts


def test_a_collision_of_hashes_is_no_match(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(contamination, "_hash", lambda words: 7)
    monkeypatch.setattr(contamination, "run_hashes", _sevens)
    screen = Screen(Decontamination(sets=(_txt(tmp_path, ITEM),)))
    assert screen.matches(Words.of(ITEM.replace("silt", "sand")).words) == []
    assert len(screen.matches(Words.of(ITEM).words)) == 1


def test_order_and_shards_do_not_matter(tmp_path: Path) -> None:
    rows = [document(f"http://a/{n}", f"{n} {ITEM if n % 3 == 0 else 'plain'}") for n in range(12)]
    config = Decontamination(sets=(_txt(tmp_path, ITEM),))
    one, other = _screened(tmp_path, rows, config), _screened(tmp_path, rows[::-1], config, 4)
    for mine, theirs in zip(one, other, strict=True):
        assert sorted(map(repr, mine)) == sorted(map(repr, theirs))
    assert len(one[1]) == 4


def test_files_of_every_kind(tmp_path: Path) -> None:
    rows: list[Any] = [
        {"question": "one", "choices": ["two", "three"]},
        {"question": None, "choices": []},
    ]
    lines, parquet = tmp_path / "a.jsonl", tmp_path / "a.parquet"
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
    pq.write_table(pa.Table.from_pylist(rows), parquet)
    for path in (lines, parquet):
        one = EvalSet(name="set", path=str(path), columns=("question", "choices"))
        assert [(item.text, item.place) for item in one.items()] == [
            ("one", "row 1, question"),
            ("two", "row 1, choices"),
            ("three", "row 1, choices"),
        ]
        with pytest.raises(RequestError, match="question"):
            list(EvalSet(name="set", path=str(path)).items())


def test_the_content_of_a_set_is_part_of_the_identity(tmp_path: Path) -> None:
    def plain(one: EvalSet) -> Any:
        return identity(DedupConfig(decontaminate=Decontamination(sets=(one,))))

    first = _txt(tmp_path, ITEM)
    (tmp_path / "there").mkdir()
    assert plain(first) == plain(_txt(tmp_path / "there", ITEM))
    changed = _txt(tmp_path, ITEM, "and one more")
    assert plain(first) != plain(changed)
    with pytest.raises(RequestError, match=f"digest {changed.digest}"):
        list(first.items())


def test_a_path_is_enough(tmp_path: Path) -> None:
    one = _txt(tmp_path, ITEM)
    config = Decontamination.model_validate({"sets": [one.path]})
    assert config.sets == (EvalSet(name=Path(one.path).stem, path=one.path),)


def test_what_cannot_be_a_set(tmp_path: Path) -> None:
    for path, says in ((tmp_path / "none.txt", "cannot read"), (tmp_path / "a.csv", "expected")):
        with pytest.raises(ValueError, match=re.escape(says)):
            EvalSet(name="set", path=str(path))
    one = _txt(tmp_path, ITEM)
    with pytest.raises(ValueError, match="more than once"):
        Decontamination(sets=(one, one))
    (tmp_path / "bad.jsonl").write_text("{")
    with pytest.raises(RequestError, match="line 1"):
        list(EvalSet(name="set", path=str(tmp_path / "bad.jsonl")).items())
