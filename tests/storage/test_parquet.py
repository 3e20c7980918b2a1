from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.parquet import (
    ROW_GROUP_ROWS,
    find_rows,
    groups_with,
    read_columns,
    read_table,
    shard_name,
    strings,
    write_rows,
    write_table,
)
from storage.records import ORIGIN
from storage.workspace import Workspace

ROWS = st.lists(
    st.fixed_dictionaries({"document_id": st.text(), "page_id": st.text()}), max_size=20
)


@settings(max_examples=25)
@given(ROWS)
def test_equal_rows_are_equal_bytes_and_come_back(
    tmp_path_factory: object, rows: list[dict[str, str]]
) -> None:
    folder: Path = tmp_path_factory.mktemp("parquet")  # type: ignore[attr-defined]
    one, other = Workspace(folder / "one"), Workspace(folder / "other")
    assert write_rows(one, "a.parquet", rows, ORIGIN) == len(rows)
    reordered = [dict(reversed(row.items())) for row in rows]
    write_rows(other, "a.parquet", reordered, ORIGIN)
    assert (one.data / "a.parquet").read_bytes() == (other.data / "a.parquet").read_bytes()
    assert read_table([one.data / "a.parquet"]).to_pylist() == rows
    entry = one.entry("a.parquet")
    assert entry is not None and entry.rows == len(rows)


def test_chunks_of_a_table_leave_no_trace_in_the_bytes(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    whole = pa.table({"x": pa.array(range(20_000), pa.int64())})
    chunked = pa.concat_tables([whole.slice(0, 777), whole.slice(777, 9_000), whole.slice(9_777)])
    write_table(workspace, "whole.parquet", whole)
    write_table(workspace, "chunked.parquet", chunked)
    whole_bytes = (workspace.data / "whole.parquet").read_bytes()
    assert (workspace.data / "chunked.parquet").read_bytes() == whole_bytes
    assert pq.read_metadata(workspace.data / "whole.parquet").num_row_groups == 3
    assert ROW_GROUP_ROWS == 8192


def test_rows_may_come_from_an_iterator_longer_than_memory(tmp_path: Path) -> None:
    workspace, drawn = Workspace(tmp_path), 0
    rows = [{"document_id": str(n), "page_id": "p"} for n in range(2 * ROW_GROUP_ROWS + 1)]

    def draw() -> Iterator[dict[str, str]]:
        nonlocal drawn
        for row in rows:
            drawn += 1
            yield row

    assert write_rows(workspace, "a.parquet", draw(), ORIGIN) == drawn == len(rows)
    write_table(workspace, "b.parquet", pa.Table.from_pylist(rows, schema=ORIGIN))
    assert (workspace.data / "a.parquet").read_bytes() == (
        workspace.data / "b.parquet"
    ).read_bytes()
    assert pq.read_metadata(workspace.data / "a.parquet").num_row_groups == 3


def test_descriptions_of_columns_are_in_the_file(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    write_rows(workspace, "a.parquet", [], ORIGIN, volatile=True)
    field = pq.read_schema(workspace.data / "a.parquet").field("page_id")
    assert field.metadata[b"description"] == ORIGIN.field("page_id").metadata[b"description"]
    entry = workspace.entry("a.parquet")
    assert entry is not None and entry.volatile and entry.rows == 0


def test_several_files_are_read_in_the_given_order(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    for index in range(3):
        rows = [{"document_id": str(index), "page_id": "p"}]
        write_rows(workspace, shard_name("origins", index, 3), rows, ORIGIN)
    paths = sorted((workspace.data / "origins").iterdir(), reverse=True)
    assert paths[0].name == "part-00002-of-00003.parquet"
    assert read_table(paths)["document_id"].to_pylist() == ["2", "1", "0"]


# --- rows by a key: the same as reading everything, and less of it ------------------------------

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
