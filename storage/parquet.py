"""Parquet: written with one fixed set of options, so that equal tables are equal bytes, and read
by a key with no more than the answer needs.

pyarrow's own filters (`pq.read_table(..., filters=…)`) go through `pyarrow.dataset`, whose import
alone took 0.35 s of the second that a trace may take; `find_rows` is 0.01 s.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
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
    return write_tables(workspace, path, tables, schema, volatile=volatile)


def write_table(workspace: Workspace, path: str, table: pa.Table, *, volatile: bool = False) -> int:
    """Write a table as one Parquet file of the workspace and return its number of rows."""
    return write_tables(workspace, path, [table], table.schema, volatile=volatile)


def write_tables(
    workspace: Workspace,
    path: str,
    tables: Iterable[pa.Table],
    schema: pa.Schema,
    *,
    volatile: bool = False,
) -> int:
    """Write tables, one after the other, as one Parquet file; return their rows.

    They are drawn one at a time: together they may be longer than memory.
    """
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


def shard_name(folder: str, index: int, count: int) -> str:
    """`documents/part-00003-of-00008.parquet`."""
    return f"{folder}/part-{index:05d}-of-{count:05d}.parquet"


def read_tables(paths: Iterable[Path]) -> Iterator[pa.Table]:
    """Read Parquet files one at a time."""
    for path in paths:
        yield pq.read_table(path)


def streamed(path: Path) -> pq.ParquetFile:
    """Open a file of which `iter_batches` holds little more than a batch.

    pyarrow reads the chosen columns of the whole file ahead: 140 MB for one of 80 MB, here 66.
    """
    return pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20)


def read_table(paths: Sequence[Path]) -> pa.Table:
    """Read several Parquet files of one schema as one table."""
    return pa.concat_tables(list(read_tables(paths)))


def read_columns(paths: Sequence[Path], columns: Sequence[str]) -> pa.Table:
    """These columns of several Parquet files of one schema, as one table. `paths` is not empty."""
    tables = []
    for path in paths:
        with pq.ParquetFile(path) as file:
            tables.append(file.read(list(columns)))
    return pa.concat_tables(tables)


def find_rows(
    paths: Sequence[Path], key: str, values: Collection[str], columns: Sequence[str]
) -> list[dict[str, Any]]:
    """The rows whose `key` is one of `values`, with these `columns`, in the files' order.

    Row groups without a hit cost their statistics, or the `key` column alone. Timestamps come as
    integers in their unit: pyarrow makes datetimes with pandas' help, 0.1 s.
    """
    import pyarrow.compute as pc  # 0.03 s that a recipe which is only read need not pay

    rows: list[dict[str, Any]] = []
    wanted = strings(values)
    for path in paths:
        with pq.ParquetFile(path) as file:
            for group in groups_with(file, key, values):
                mask = pc.is_in(file.read_row_group(group, [key])[key], value_set=wanted)
                if pc.any(mask).as_py():
                    found = file.read_row_group(group, list(columns)).filter(mask)
                    rows += _plain(found.select(list(columns))).to_pylist()
    return rows


def rows_at(
    path: Path, positions: Sequence[int], columns: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """The rows at these positions, which are sorted, with those of `columns` (all) that it has."""
    rows: list[dict[str, Any]] = []
    first = 0
    with pq.ParquetFile(path) as file:
        names = [name for name in file.schema_arrow.names if not columns or name in columns]
        for group in range(file.num_row_groups):
            last = first + file.metadata.row_group(group).num_rows
            here = np.array([p - first for p in positions if first <= p < last], dtype=np.int64)
            if len(here):
                rows += _plain(file.read_row_group(group, names).take(here)).to_pylist()
            first = last
    return rows


def _plain(table: pa.Table) -> pa.Table:
    for index, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            table = table.set_column(index, field.name, table[index].cast(pa.int64()))
    return table


def strings(values: Collection[str]) -> pa.Array:
    """`values`, sorted, for a filter.

    Made from buffers: `pa.array` imports pandas to ask whether it is given a series, 0.13 s.
    """
    encoded = [value.encode() for value in sorted(values)]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    buffers = (pa.py_buffer(offsets.tobytes()), pa.py_buffer(b"".join(encoded)))
    return pa.StringArray.from_buffers(len(encoded), *buffers)


def groups_with(file: pq.ParquetFile, leaf: str, values: Collection[str]) -> Iterator[int]:
    """The row groups whose statistics do not rule out every one of `values` in the column `leaf`.

    `leaf` is a path down to a column of strings, such as `spans.list.element.document_id`.
    """
    metadata = file.metadata
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        chunks = (row_group.column(index) for index in range(row_group.num_columns))
        found = (chunk.statistics for chunk in chunks if chunk.path_in_schema == leaf)
        statistics = next(found, None)
        if statistics is None or not statistics.has_min_max:
            # A chunk of nulls only has no bounds; none of our columns is nullable. Where there is
            # no such column at all, whoever reads it is told by a KeyError.
            yield group
        elif any(statistics.min <= value <= statistics.max for value in values):
            yield group
