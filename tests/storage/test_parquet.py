from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.parquet import ROW_GROUP_ROWS, read_table, shard_name, write_rows, write_table
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
