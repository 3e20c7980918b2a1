"""Tables: JSON lines and Parquet files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tasks.config import knob
from tasks.crawl.inputs.listing import Input, find_inputs, local_file
from tasks.crawl.sources.columns import Columns

if TYPE_CHECKING:
    from tasks.crawl.inputs.found import Found

_SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")


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
        """The files, in the order of `paths`; raises RequestError for what is not there."""
        return find_inputs(self.paths, _SUFFIXES)

    def read(self, file: Input, scratch: Path) -> Iterator[Found]:
        """The pages of one file; raises RequestError for a column that it does not have."""
        from tasks.crawl.inputs.tables import read_table_file

        with local_file(file, scratch) as path:
            yield from read_table_file(file.name, path, self)
