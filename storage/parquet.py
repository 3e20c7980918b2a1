"""Parquet with one fixed set of writer options, so that equal tables are equal bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storage.workspace import Workspace

ROW_GROUP_ROWS = 8192


def write_rows(
    workspace: Workspace,
    path: str,
    rows: Sequence[Mapping[str, Any]],
    schema: pa.Schema,
    *,
    volatile: bool = False,
) -> int:
    """Write `rows` as one Parquet file of the workspace and return their number."""
    return write_table(
        workspace, path, pa.Table.from_pylist(list(rows), schema=schema), volatile=volatile
    )


def write_table(workspace: Workspace, path: str, table: pa.Table, *, volatile: bool = False) -> int:
    """Write a table as one Parquet file of the workspace and return its number of rows."""
    with workspace.writing(path, volatile=volatile) as stream:
        pq.write_table(
            table,
            stream,
            compression="zstd",
            compression_level=3,
            row_group_size=ROW_GROUP_ROWS,
            write_page_index=True,
        )
    return int(table.num_rows)


def read_tables(paths: Iterable[Path]) -> Iterator[pa.Table]:
    """Read Parquet files one at a time."""
    for path in paths:
        yield pq.read_table(path)


def read_table(paths: Sequence[Path]) -> pa.Table:
    """Read several Parquet files of one schema as one table."""
    return pa.concat_tables(list(read_tables(paths)))


def shard_name(folder: str, index: int, count: int) -> str:
    """`documents/part-00003-of-00008.parquet`."""
    return f"{folder}/part-{index:05d}-of-{count:05d}.parquet"
