"""The rows of JSONL and Parquet files, and of datasets that the `datasets` library opens.

That library is used without a word to any hub. It would fetch whatever it does not find: a path
that is a hub's, a URL in `data_files` or in a dataset card. All three are refused before it is
asked, and its own offline switch is on.
"""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from storage.errors import Fault, RequestError
from tasks.crawl.captures import (
    Found,
    RejectedUrl,
    bad_record,
    modified,
    page_of,
    too_large,
    url_below,
)
from tasks.crawl.sources.records import Columns
from tasks.crawl.urls import canonical_url

if TYPE_CHECKING:
    from tasks.crawl.sources.dataset import DatasetSource

Row = Mapping[str, Any]

_ROW = "a row with text"
_BATCH_ROWS = 64
_BUFFER_BYTES = 1 << 14  # what is lost before the place where a file is torn
_PACKINGS = {".gz": "gzip", ".zst": "zstd"}
_DAMAGE = (pa.ArrowException, OSError, EOFError)
_LONGEST_ROW = 64 << 20  # bytes; only looked at
_UNDATED = datetime.fromtimestamp(0, UTC)
_LOCAL = "a dataset on this machine"
_DOWNLOAD = "Download it first: `hf download --repo-type dataset NAME --local-dir FOLDER`."


class _RowReader:
    """The rows of one table, counted from 0."""

    def __init__(self, name: str, columns: Columns, at: datetime) -> None:
        self._name, self._columns, self._at = name, columns, at

    def place(self, number: int) -> str:
        """`table.jsonl#17`."""
        return f"{self._name}#{number}"

    def read(self, number: int, row: Mapping[str, Any]) -> Found:
        """Return the page of a row, or why it is none."""
        columns, place = self._columns, self.place(number)
        text = row.get(columns.text_column)
        if not isinstance(text, str | bytes):
            found = "no such column" if columns.text_column not in row else type(text).__name__
            return bad_record(place, f"{columns.text_column}: {found}", _ROW)
        given = None if columns.url_column is None else row.get(columns.url_column)
        try:
            url = self._url(number, given)
        except ValueError:
            expected = f"an absolute http(s) URL in {columns.url_column}"
            return Found(place, RejectedUrl(place, "invalid_url", str(given)[:200], expected))
        # Half a surrogate pair, which JSON can hold, is no character.
        body = text.encode(errors="ignore") if isinstance(text, str) else text
        charset = "utf-8" if isinstance(text, str) else ""
        limit, kind = columns.max_page_bytes, columns.content_type
        return Found(place, page_of(url, body, kind, charset, self._at, limit))

    def _url(self, number: int, given: object) -> str:
        if self._columns.url_column is None:
            return url_below(self._columns.base_url, f"{self._name}/{number}")
        if not isinstance(given, str):
            raise ValueError("no URL")
        return canonical_url(given)


def read_table_file(name: str, path: Path, columns: Columns) -> Iterator[Found]:
    """Yield the pages of a file; reading ends where it is damaged.

    Raises RequestError for a column that a Parquet file does not have.
    """
    reader = _RowReader(name, columns, modified(path))
    if name.lower().endswith(".parquet"):
        yield from _parquet(path, columns, reader)
    else:
        yield from _json_lines(path, Path(name).suffix.lower(), columns, reader)


def _parquet(path: Path, columns: Columns, reader: _RowReader) -> Iterator[Found]:
    number = 0
    try:
        with pq.ParquetFile(path) as table:
            _check_columns(reader.place(0), table.schema_arrow.names, columns)
            for batch in table.iter_batches(_BATCH_ROWS, columns=columns.wanted):
                for row in batch.to_pylist():
                    yield reader.read(number, row)
                    number += 1
    except _DAMAGE as error:
        yield bad_record(reader.place(number), str(error), "a Parquet file")


def _check_columns(where: str, names: list[str], columns: Columns) -> None:
    """Raise RequestError unless all columns that are wanted are there."""
    absent = [name for name in columns.wanted if name not in names]
    if absent:
        remedy = "Set crawl.source.text_column and url_column to names that the table has."
        found = f"the columns {', '.join(names)}"
        raise RequestError(Fault(where, found, f"a column {' and '.join(absent)}", remedy))


def _json_lines(path: Path, suffix: str, columns: Columns, reader: _RowReader) -> Iterator[Found]:
    number = 0
    longest = 6 * columns.max_page_bytes + (1 << 20)  # \uXXXX is six bytes; and the other columns
    try:
        with _opened(path, _PACKINGS.get(suffix)) as lines:
            while line := lines.readline(longest):
                place = reader.place(number)
                if len(line) == longest and not line.endswith(b"\n"):
                    while (line := lines.readline(longest)) and not line.endswith(b"\n"):
                        pass  # to its end
                    yield Found(place, too_large(place, columns.max_page_bytes))
                elif line.strip():
                    yield _json_row(line, number, reader)
                number += 1
    except _DAMAGE as error:
        yield bad_record(reader.place(number), str(error), "a whole file of JSON lines")


def _opened(path: Path, packing: str | None) -> IO[bytes]:
    """Open pyarrow's stream, which knows gzip and zstd, as one that has lines."""
    if packing is None:
        return path.open("rb")
    return io.BufferedReader(
        cast("io.RawIOBase", pa.input_stream(str(path), packing)), _BUFFER_BYTES
    )


def first_row(path: Path) -> Row:
    """Read the first row of a table; empty if it has none, or is damaged there."""
    with suppress(*_DAMAGE, ValueError, RecursionError):
        if path.name.lower().endswith(".parquet"):
            with pq.ParquetFile(path) as table:
                return next((b.to_pylist()[0] for b in table.iter_batches(1)), {})
        with _opened(path, _PACKINGS.get(path.suffix.lower())) as lines:
            row = json.loads(lines.readline(_LONGEST_ROW))
            return row if isinstance(row, dict) else {}
    return {}


def _json_row(line: bytes, number: int, reader: _RowReader) -> Found:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        return bad_record(reader.place(number), str(error), _ROW)
    if not isinstance(row, dict):
        return bad_record(reader.place(number), type(row).__name__, "a JSON object")
    return reader.read(number, row)


def check_local(source: DatasetSource) -> None:
    """Raise RequestError for anything that is not on this machine."""
    from datasets.packaged_modules import _PACKAGED_DATASETS_MODULES as FORMATS

    folder = Path(source.path).expanduser()
    if not folder.exists() and source.path not in FORMATS:
        found = f"{source.path}: no folder here, and no format"
        raise RequestError(Fault("crawl.source.path", found, _LOCAL, _DOWNLOAD, "missing_folder"))
    if source.path in FORMATS and not folder.exists() and not source.data_files:
        remedy = f"Name the files that are {source.path}."
        raise RequestError(
            Fault("crawl.source.data_files", "nothing", "files or globs", remedy, "missing_file")
        )
    remote = [one for one in (*source.data_files, *_card_files(folder)) if "://" in one]
    if remote:
        found = ", ".join(remote[:5])
        raise RequestError(
            Fault("crawl.source.data_files", found, _LOCAL, _DOWNLOAD, "remote_data")
        )


def _card_files(folder: Path) -> Iterator[str]:
    """Yield every text in the `configs` of a dataset's card, where its files are named."""
    card = folder / "README.md"
    if not card.is_file():
        return
    _, marker, rest = card.read_text(errors="replace").partition("---\n")
    try:
        facts = yaml.safe_load(rest.partition("\n---")[0]) if marker else None
    except yaml.YAMLError:
        return
    yield from _texts(facts.get("configs") if isinstance(facts, dict) else None)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)


def read_dataset(name: str, source: DatasetSource, scratch: Path) -> Iterator[Found]:
    """Yield the pages of a dataset; reading ends where it is damaged.

    Raises RequestError for a configuration, split or column that it does not have.
    """
    from datasets.exceptions import DatasetsError

    reader, number = _RowReader(name, source, _written(source)), 0
    damage = (*_DAMAGE, ValueError, DatasetsError)
    with _offline():
        rows = iter(_rows(source, scratch, (*damage, KeyError)))
        try:
            first = next(rows, None)
            if first is not None:
                _check_columns(name, list(first), source)
            for row in itertools.chain([] if first is None else [first], rows):
                yield reader.read(number, row)
                number += 1
        except damage as error:
            yield bad_record(reader.place(number), str(error), "a whole dataset")


def _rows(
    source: DatasetSource, scratch: Path, damage: tuple[type[Exception], ...]
) -> Iterable[Row]:
    import datasets

    folder = Path(source.path).expanduser()
    path = str(folder) if folder.exists() else source.path
    try:
        if (folder / "state.json").exists() or (folder / "dataset_dict.json").exists():
            saved = datasets.load_from_disk(path)
            rows: Iterable[Row] = saved[source.split] if isinstance(saved, dict) else saved
            return rows
        rows = datasets.load_dataset(
            path,
            source.name,
            split=source.split,
            data_files=list(source.data_files) or None,
            cache_dir=str(scratch / "datasets"),
            streaming=True,
        )
    except damage as error:
        remedy = "Check path, name, split and data_files."
        found = " ".join(str(error).split())[:300]
        raise RequestError(Fault("crawl.source", found, _LOCAL, remedy)) from error
    return rows


def _written(source: DatasetSource) -> datetime:
    """Return when the dataset, or its first file, was last written; 1970 if that is not known."""
    places = (Path(one).expanduser() for one in (source.path, *source.data_files))
    return next((modified(place) for place in places if place.exists()), _UNDATED)


@contextmanager
def _offline() -> Iterator[None]:
    """Keep both libraries offline: they read the environment once, when they are imported."""
    import datasets.config
    import huggingface_hub.constants

    places: tuple[Any, ...] = (datasets.config, huggingface_hub.constants)
    before = [place.HF_HUB_OFFLINE for place in places]
    for place in places:
        place.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            place.HF_HUB_OFFLINE = value
