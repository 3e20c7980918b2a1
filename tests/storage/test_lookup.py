"""Rows by a key: the same as reading everything, and less of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.lookup import find_rows, groups_with, read_columns, strings

KEYS = st.text(max_size=3)
SETTINGS = settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
SCHEMA = pa.schema([("key", pa.string()), ("number", pa.int64()), ("text", pa.string())])


def _write(path: Path, keys: Sequence[str], group: int = 3) -> Path:
    rows = [{"key": key, "number": n, "text": f"text {n}"} for n, key in enumerate(keys)]
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), path, row_group_size=group)
    return path


@SETTINGS
@given(
    files=st.lists(st.lists(KEYS, max_size=12), max_size=3),
    wanted=st.sets(KEYS, max_size=4),
    is_sorted=st.booleans(),
)
def test_the_same_rows_as_reading_everything(
    tmp_path: Path, files: list[list[str]], wanted: set[str], is_sorted: bool
) -> None:
    files = [sorted(keys) if is_sorted else keys for keys in files]
    paths = [_write(tmp_path / f"{i}.parquet", keys) for i, keys in enumerate(files)]
    everything = [{"number": n, "key": key} for keys in files for n, key in enumerate(keys)]
    expected = [row for row in everything if row["key"] in wanted]
    assert find_rows(paths, "key", wanted, ("number", "key")) == expected


@given(st.sets(st.text()))
def test_strings_are_those_of_pyarrow(values: set[str]) -> None:
    made = strings(values)
    made.validate(full=True)
    assert made.equals(pa.array(sorted(values), pa.string()))


def test_columns_that_were_not_asked_for_stay_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _write(tmp_path / "a.parquet", sorted("abcdefghi"))
    read: list[tuple[int, tuple[str, ...]]] = []
    original = pq.ParquetFile.read_row_group

    def recorded(self: pq.ParquetFile, group: int, columns: list[str]) -> pa.Table:
        read.append((group, tuple(columns)))
        return original(self, group, columns)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", recorded)
    assert find_rows([path], "key", {"e"}, ("number",)) == [{"number": 4}]
    assert read == [(1, ("key",)), (1, ("number",))]
    read.clear()
    assert find_rows([path], "key", {"eels", "z"}, ("number",)) == []
    assert read == [(1, ("key",))]  # nothing outside the bounds of a row group is looked for in it


def test_a_column_inside_lists_has_bounds_too(tmp_path: Path) -> None:
    spans = [[{"document_id": name}] for name in "abcd"]
    pq.write_table(pa.table({"spans": spans}), tmp_path / "a.parquet", row_group_size=2)
    with pq.ParquetFile(tmp_path / "a.parquet") as file:
        for name, groups in {"a": [0], "d": [1], "bb": [], "": []}.items():
            assert list(groups_with(file, "spans.list.element.document_id", {name})) == groups


def test_timestamps_come_as_integers(tmp_path: Path) -> None:
    when = datetime(2026, 11, 21, 6, 41, 57, 85_000, tzinfo=UTC)
    column = pa.array([when], pa.timestamp("ms", tz="UTC"))
    pq.write_table(pa.table({"key": ["a"], "at": column}), tmp_path / "a.parquet")
    found = find_rows([tmp_path / "a.parquet"], "key", {"a"}, ("at",))
    assert datetime.fromtimestamp(found[0]["at"] / 1000, UTC) == when


def test_columns_of_several_files(tmp_path: Path) -> None:
    paths = [_write(tmp_path / name, name) for name in ("ab", "c")]
    table = read_columns(paths, ["key"])
    assert table.column_names == ["key"] and table["key"].to_pylist() == ["a", "b", "c"]
