"""Example files: what is read, how they are known, and what is said of those that are wrong."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from backports import zstd
from pydantic import ValidationError

from storage.errors import RequestError
from tasks.config import identity
from tasks.quality.examples import ExampleFiles
from tasks.quality.examples.reading import Draw, Example, read_examples
from tests.tasks.quality.conftest import Write


def files(*paths: Path, **knobs: Any) -> ExampleFiles:
    return ExampleFiles.model_validate({"paths": [str(path) for path in paths], **knobs})


def texts(*paths: Path, most: int = 100) -> list[str]:
    return sorted(e.text for e in read_examples(files(*paths), most, 0).examples())


def test_every_kind_of_file_is_read(tmp_path: Path, write_examples: Write) -> None:
    lines = b'{"text": "three", "url": "http://c/"}\n\n{"text": "four"}\n'
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("\ufeffone\n")
    (tmp_path / "in" / "b.md").write_text("# two")
    (tmp_path / "in" / "c.jsonl.gz").write_bytes(gzip.compress(lines))
    (tmp_path / "in" / "d.jsonl.zst").write_bytes(zstd.compress(lines.replace(b"o", b"0")))
    (tmp_path / "in" / "left.html").write_text("not of a known kind")
    pq.write_table(pa.table({"text": ["five"], "language": ["vi"]}), tmp_path / "in" / "e.parquet")
    path = write_examples("f.jsonl", ["six"])
    found = read_examples(files(tmp_path / "in", path), 100, 0).examples()
    assert sorted(e.text.strip() for e in found) == sorted(
        ["one", "# two", "three", "four", "f0ur", "five", "six"]
    )
    told = {e.text: (e.url, e.language) for e in found}
    assert told["three"] == ("http://c/", "") and told["five"] == ("", "vi")
    assert texts(tmp_path / "*.jsonl", path) == ["six"]  # a file is read once


def test_texts_that_differ_in_little_are_one_example(write_examples: Write) -> None:
    path = write_examples("a.jsonl", ["On 3 May", "on  9 MAY", "on 10 may", "e\u0301", "é"])
    assert len(texts(path)) == 3


def test_lone_surrogates_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a\\ud800b"}\n')
    assert texts(path) == ["a?b"]


def test_the_digest_is_of_the_content_alone(tmp_path: Path, write_examples: Write) -> None:
    one = files(write_examples("a.jsonl", ["one"]), write_examples("b.jsonl", ["two"]))
    other = files(write_examples("d.jsonl", ["two"]), write_examples("c.jsonl", ["one"]))
    assert one.digest == other.digest
    assert identity(one)["digest"] == one.digest  # so a changed file is another configuration
    changed = write_examples("a.jsonl", ["one!"])
    assert files(changed, tmp_path / "b.jsonl").digest != one.digest
    with pytest.raises(RequestError, match="start the run again"):
        one.files()
    changed.unlink()
    with pytest.raises(RequestError, match=r"no example file at .*a\.jsonl"):
        one.files()


def test_a_draw_does_not_depend_on_order(whole: list[str]) -> None:
    def drawn(given: list[str], seed: int = 0) -> list[str]:
        draw = Draw(40, seed)
        for number, text in enumerate(given):
            draw.add(Example.of(text, f"http://h/{len(text)}", str(number)[:0]))
        assert draw.num_given == len(given)
        return [example.id for example in draw.examples()]

    assert drawn(whole) == drawn(whole[::-1]) == drawn(whole * 2)
    assert len(drawn(whole)) == 40 and drawn(whole, 1) != drawn(whole)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b'{"body": "x", "url": ""}\n', "found the columns body, url"),
        ("a.jsonl", b'{"text": "x"}\n{"text": 3}\n', "line 2: found int in text"),
        ("a.jsonl", b'["x"]\n', "line 1: found list"),
        ("a.jsonl", b'{"text": "x"\n', "line 1: found Expecting"),
        ("a.jsonl", b'{"text": "caf\xe9"}\n', "byte 0xe9 at 13, which is not UTF-8"),
        ("a.txt", b"caf\xe9", "iconv"),
        ("a.txt", b" \n", "found no text; expected at least one example"),
        ("a.jsonl", b"", "found no text; expected at least one example"),
        ("a.jsonl.gz", b"\x1f\x8b no", "expected a whole file"),
        ("a.parquet", b"PAR1", "expected a whole file"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(RequestError) as caught:
        read_examples(files(path), 10, 0)
    assert said in str(caught.value) and str(path) in str(caught.value)


def test_a_parquet_file_without_the_column_lists_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"content": ["x"], "n": [1]}), path)
    with pytest.raises(RequestError, match="found the columns content, n"):
        read_examples(files(path), 10, 0)
    found = read_examples(files(path, text_column="content"), 10, 0).examples()
    assert [e.text for e in found] == ["x"]


def test_files_that_are_not_there_are_a_fault_of_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.csv").write_text("text\n")
    for path in ("none.jsonl", "*.jsonl", "empty", "a.csv"):
        with pytest.raises(ValidationError, match=r"expected (files|\.jsonl)"):
            files(tmp_path / path)


def test_a_name_with_brackets_is_a_name(tmp_path: Path) -> None:
    path = tmp_path / "a[1].jsonl"
    path.write_text(json.dumps({"text": "x"}))
    assert texts(path) == ["x"]
