"""Parquet with one fixed set of writer options, so that equal tables are equal bytes."""

from __future__ import annotations

import itertools
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
    rows: Iterable[Mapping[str, Any]],
    schema: pa.Schema,
    *,
    volatile: bool = False,
) -> int:
    """Write `rows` as one Parquet file of the workspace and return their number.

    They are drawn one row group at a time: an iterator may be longer than memory.
    """
    left = iter(rows)
    groups = iter(lambda: list(itertools.islice(left, ROW_GROUP_ROWS)), [])
    tables = (pa.Table.from_pylist(group, schema=schema) for group in groups)
    return _write(workspace, path, tables, schema, volatile)


def write_table(workspace: Workspace, path: str, table: pa.Table, *, volatile: bool = False) -> int:
    """Write a table as one Parquet file of the workspace and return its number of rows."""
    return _write(workspace, path, [table], table.schema, volatile)


def _write(
    workspace: Workspace, path: str, tables: Iterable[pa.Table], schema: pa.Schema, volatile: bool
) -> int:
    num_rows = 0
    with (
        workspace.writing(path, volatile=volatile) as stream,
        pq.ParquetWriter(
            stream, schema, compression="zstd", compression_level=3, write_page_index=True
        ) as writer,
    ):
        for table in filter(len, tables):  # an empty one would be a row group of its own
            writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
            num_rows += table.num_rows
    return num_rows


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
