"""The rows of a JSONL or Parquet file."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from storage.errors import Fault, RequestError
from tasks.crawl.inputs.found import Found, bad, too_large
from tasks.crawl.inputs.rows import ROW, RowReader
from tasks.crawl.inputs.text import modified
from tasks.crawl.sources.columns import Columns

_BATCH_ROWS = 64
_BUFFER_BYTES = 1 << 14  # what is lost before the place where a file is torn
_PACKINGS = {".gz": "gzip", ".zst": "zstd"}
_DAMAGE = (pa.ArrowException, OSError, EOFError)


def read_table_file(name: str, path: Path, columns: Columns) -> Iterator[Found]:
    """The pages of a file; reading ends where it is damaged.

    Raises RequestError for a column that a Parquet file does not have.
    """
    reader = RowReader(name, columns, modified(path))
    if name.lower().endswith(".parquet"):
        yield from _parquet(path, columns, reader)
    else:
        yield from _json_lines(path, Path(name).suffix.lower(), columns, reader)


def _parquet(path: Path, columns: Columns, reader: RowReader) -> Iterator[Found]:
    number = 0
    try:
        with pq.ParquetFile(path) as table:
            check_columns(reader.place(0), table.schema_arrow.names, columns)
            for batch in table.iter_batches(_BATCH_ROWS, columns=columns.wanted):
                for row in batch.to_pylist():
                    yield reader.read(number, row)
                    number += 1
    except _DAMAGE as error:
        yield bad(reader.place(number), str(error), "a Parquet file")


def check_columns(where: str, names: list[str], columns: Columns) -> None:
    """Raise RequestError unless all columns that are wanted are there."""
    absent = [name for name in columns.wanted if name not in names]
    if absent:
        remedy = "Set crawl.source.text_column and url_column to names that the table has."
        found = f"the columns {', '.join(names)}"
        raise RequestError(Fault(where, found, f"a column {' and '.join(absent)}", remedy))


def _json_lines(path: Path, suffix: str, columns: Columns, reader: RowReader) -> Iterator[Found]:
    number = 0
    longest = 6 * columns.max_page_bytes + (1 << 20)  # \uXXXX is six bytes; and the other columns
    try:
        with _opened(path, _PACKINGS.get(suffix)) as lines:
            while line := lines.readline(longest):
                place = reader.place(number)
                if len(line) == longest and not line.endswith(b"\n"):
                    _skip_line(lines, longest)
                    yield Found(place, too_large(place, columns.max_page_bytes))
                elif line.strip():
                    yield _json_row(line, number, reader)
                number += 1
    except _DAMAGE as error:
        yield bad(reader.place(number), str(error), "a whole file of JSON lines")


def _opened(path: Path, packing: str | None) -> IO[bytes]:
    """pyarrow's stream, which knows gzip and zstd, as one that has lines."""
    if packing is None:
        return path.open("rb")
    return io.BufferedReader(
        cast("io.RawIOBase", pa.input_stream(str(path), packing)), _BUFFER_BYTES
    )


def _skip_line(lines: IO[bytes], longest: int) -> None:
    while (more := lines.readline(longest)) and not more.endswith(b"\n"):
        pass


def _json_row(line: bytes, number: int, reader: RowReader) -> Found:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        return bad(reader.place(number), str(error), ROW)
    if not isinstance(row, dict):
        return bad(reader.place(number), type(row).__name__, "a JSON object")
    return reader.read(number, row)
