"""Tables: JSON lines and Parquet files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from storage.errors import RequestError
from tasks.config import knob
from tasks.crawl.captures import Found, url_below
from tasks.crawl.inputs.listing import Input, find_inputs, local_file
from tasks.crawl.sources.files import BASE_PATTERN, BASE_URL
from tasks.crawl.sources.local import HTML_TEXT, Content, LocalSource
from tasks.foresight import Span, exactly

_PACKED = (".gz", ".zst", ".parquet")
_SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")


class Columns(LocalSource):
    """What a row's page is made of: the same for files of records and for datasets."""

    text_column: str = knob("text", "the column with the text")
    url_column: str | None = knob(
        None, "the column with the http(s) URL. Null: `base_url`, file and number of the row"
    )
    content_type: Literal["text/plain", "text/html", "text/markdown"] = knob(
        "text/plain", "what the text is; HTML goes through clean's extractor"
    )
    base_url: str = knob("file:///", BASE_URL, pattern=BASE_PATTERN)
    max_page_bytes: int = knob(
        10_000_000, "bytes of one text in UTF-8; a larger one is rejected", ge=1_000
    )

    @property
    def wanted(self) -> list[str]:
        """Name the columns that are read."""
        return [self.text_column, *([self.url_column] if self.url_column is not None else [])]

    def addresses(self) -> Iterator[str] | None:
        """Give the URL of each file's first row; a column's are known when it is read."""
        with suppress(RequestError):
            names = [file.name for file in self.found]
            if names and self.url_column is None:
                return (url_below(self.base_url, f"{name}/0") for name in names)
        return None

    def content(self, files: Sequence[Input], num_bytes: float) -> Content:
        """Expect what is packed to be 1.5 to 5 times as much, and rows of 0.8 to 20 kB."""
        packed = sum(file.name.lower().endswith(_PACKED) for file in files) / len(files)
        body = exactly(num_bytes) * (Span(0.5, 1) * (1 - packed) + Span(1.5, 5) * packed)
        text = body * HTML_TEXT if self.content_type == "text/html" else body
        return Content.of_files(body / Span(800, 20_000), body, text)


class RecordsSource(Columns):
    """Every row of JSONL and Parquet files is a page."""

    kind: Literal["records"] = "records"
    paths: tuple[str, ...] = knob(
        ...,
        "files (.jsonl, .jsonl.gz, .jsonl.zst, .parquet), folders of them and globs, on this "
        "machine or under s3://",
        min_length=1,
    )

    def inputs(self) -> list[Input]:
        """List the files, in the order of `paths`; raises RequestError for what is not there."""
        return find_inputs(self.paths, _SUFFIXES)

    def read(self, file: Input, scratch: Path) -> Iterator[Found]:
        """Yield the pages of one file; raises RequestError for a column that it does not have."""
        from tasks.crawl.inputs.tables import read_table_file

        with local_file(file, scratch) as path:
            yield from read_table_file(file.name, path, self)
