"""Texts of example files and of the corpus, those of them that are trained from."""

from __future__ import annotations

import heapq
import io
import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

from storage.errors import Fault, RequestError
from storage.parquet import read_columns, strings
from tasks.quality.examples.files import ExampleFiles

_BATCH_ROWS = 256
_PACKINGS = {".gz": "gzip", ".zst": "zstd"}
_DIGITS = str.maketrans("123456789", "000000000")


@dataclass(frozen=True)
class Example:
    """One text. `id` names its normalised form: those that differ in case, numbers and white space
    only are one example. `url` and `language` are empty where they are not known."""

    id: str
    text: str
    url: str = ""
    language: str = ""

    @classmethod
    def of(cls, text: str, url: str = "", language: str = "") -> Example:
        """An example with its id; lone surrogates, which no UTF-8 has, become question marks."""
        text = unicodedata.normalize("NFC", text.encode(errors="replace").decode())
        normal = " ".join(text.lower().translate(_DIGITS).split())
        return cls(xxhash.xxh3_128_hexdigest(normal.encode()), text, url, language)


class Draw:
    """Keeps the `most` examples whose hashes are lowest: any order of reading gives the same."""

    def __init__(self, most: int, seed: int) -> None:
        self._most, self._seed = most, seed
        self._kept: dict[str, tuple[int, Example]] = {}
        self.num_given = 0

    def add(self, example: Example) -> None:
        """Look at one more; of equal ones that with the first URL stays."""
        self.num_given += 1
        present = self._kept.get(example.id)
        if present is None or (example.url, example.text) < (present[1].url, present[1].text):
            self._kept[example.id] = (rank(self._seed, example.id), example)
        if len(self._kept) > 2 * self._most:
            self._kept = dict(self._lowest())

    def examples(self) -> list[Example]:
        """Those that are kept, by their hashes."""
        return [example for _, (_, example) in self._lowest()]

    def _lowest(self) -> list[tuple[str, tuple[int, Example]]]:
        ordered = sorted(self._kept.items(), key=lambda item: (item[1][0], item[0]))
        return ordered[: self._most]


def rank(seed: int, name: str) -> int:
    """A number by which things are shuffled, the same everywhere."""
    return xxhash.xxh3_64_intdigest(name.encode(), seed)


def draw_documents(documents: Sequence[Path], most: int, seed: int) -> Draw:
    """`most` documents whose ids' hashes are lowest; their texts alone are read."""
    ids = [read_columns([path], ["document_id"])["document_id"].to_pylist() for path in documents]
    ranked = ((rank(seed, one), one) for of_shard in ids for one in of_shard)
    chosen = {one for _, one in heapq.nsmallest(most, ranked)}
    draw = Draw(most, seed)
    for path, of_shard in zip(documents, ids, strict=True):
        wanted = strings(chosen.intersection(of_shard))
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups if len(wanted) else 0):
                table = file.read_row_group(group, ["document_id", "text", "url", "language"])
                table = table.filter(pc.is_in(table["document_id"], value_set=wanted))
                for row in table.drop_columns(["document_id"]).to_pylist():
                    draw.add(Example.of(**row))
    return draw


def read_examples(files: ExampleFiles, most: int, seed: int) -> Draw:
    """The examples of these files, those that are drawn.

    Raises RequestError for a file that is not UTF-8, has another column or holds no text at all.
    """
    draw = Draw(most, seed)
    for path in files.files():
        before = draw.num_given
        for row in _rows(path, files.text_column):
            if row["text"].strip():
                draw.add(Example.of(**row))
        if draw.num_given == before:
            remedy = "Leave the file out, or put examples in it."
            raise _refused(path, "no text", "at least one example", remedy)
    return draw


def _rows(path: Path, text_column: str) -> Iterator[dict[str, str]]:
    name = path.name.lower()
    try:
        if name.endswith(".parquet"):
            yield from _parquet(path, text_column)
        elif name.endswith((".txt", ".md")):
            yield {"text": path.read_bytes().decode("utf-8-sig")}
        else:
            yield from _json_lines(path, text_column)
    except UnicodeDecodeError as error:
        found = f"byte 0x{error.object[error.start]:02x} at {error.start:,}, which is not UTF-8"
        remedy = "Convert the file: iconv -f ENCODING -t UTF-8."
        raise _refused(path, found, "UTF-8 text", remedy) from error
    except (pa.ArrowException, OSError, EOFError) as error:
        raise _refused(path, str(error), "a whole file", "Copy or make the file again.") from error


def _refused(where: Path | str, found: str, expected: str, remedy: str) -> RequestError:
    return RequestError(Fault(str(where), found, expected, remedy))


def _parquet(path: Path, text_column: str) -> Iterator[dict[str, str]]:
    with pq.ParquetFile(path) as table:
        names = table.schema_arrow.names
        _require_column(str(path), names, text_column)
        columns = [text_column, *(c for c in ("url", "language") if c in names)]
        for batch in table.iter_batches(_BATCH_ROWS, columns=columns):
            for row in batch.to_pylist():
                yield _plain(str(path), row, text_column)


def _json_lines(path: Path, text_column: str) -> Iterator[dict[str, str]]:
    with _opened(path) as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            where = f"{path}, line {number:,}"
            try:
                row = json.loads(line.decode("utf-8-sig"))
            except UnicodeDecodeError:
                raise
            except (ValueError, RecursionError) as error:
                remedy = "Mend or remove the line."
                raise _refused(where, str(error), "a JSON object", remedy) from error
            if not isinstance(row, dict):
                remedy = f'One object a line: {{"{text_column}": "…"}}.'
                raise _refused(where, type(row).__name__, "a JSON object", remedy)
            _require_column(where, list(row), text_column)
            yield _plain(where, row, text_column)


def _opened(path: Path) -> IO[bytes]:
    packing = _PACKINGS.get(path.suffix.lower())
    if packing is None:
        return path.open("rb")
    return io.BufferedReader(cast("io.RawIOBase", pa.input_stream(str(path), packing)))


def _require_column(where: str, names: list[str], text_column: str) -> None:
    if text_column not in names:
        found = f"the columns {', '.join(map(str, names)) or 'none'}"
        remedy = "Set text_column of these examples to the one that holds the text."
        raise _refused(where, found, f"a column {text_column}", remedy)


def _plain(where: str, row: Mapping[str, Any], text_column: str) -> dict[str, str]:
    text = row[text_column]
    if not isinstance(text, str):
        found = f"{type(text).__name__} in {text_column}"
        remedy = "Give a text in every row, or set text_column."
        raise _refused(where, found, "a string", remedy)
    told = {name: row.get(name) for name in ("url", "language")}
    return {"text": text} | {name: of if isinstance(of, str) else "" for name, of in told.items()}
