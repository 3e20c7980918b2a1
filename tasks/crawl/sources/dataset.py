"""What the `datasets` library opens on this machine: arrow folders, CSV, webdataset and others."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Literal

from tasks.config import knob
from tasks.crawl.captures import Found, url_below
from tasks.crawl.inputs.listing import Input, find_inputs
from tasks.crawl.sources.records import Columns


class DatasetSource(Columns):
    """Every row of a dataset is a page; nothing is fetched from a hub."""

    kind: Literal["dataset"] = "dataset"
    path: str = knob(
        ..., "a dataset's folder on this machine, or a format with `data_files`: csv, json, text …"
    )
    name: str | None = knob(None, "the dataset's configuration. Null: its only one")
    split: str = knob("train", "the split to read", min_length=1)
    data_files: tuple[str, ...] = knob((), "files or globs on this machine. Empty: all of `path`")

    def inputs(self) -> list[Input]:
        """Return the dataset as one input; raises RequestError for what is not on this machine."""
        from tasks.crawl.inputs.tables import check_local

        check_local(self)
        return [Input(Path(self.path).name or self.path, self.path)]

    @cached_property
    def found(self) -> list[Input]:
        """The files, where they can be told without `datasets`, a second to import."""
        folder = Path(self.path).expanduser()
        if not self.data_files and folder.is_dir():
            return find_inputs([self.path], ("",))
        below = folder if folder.is_dir() else Path()  # two files may have one name here
        local = (str(below / one) for one in self.data_files if "://" not in one)
        return [file for one in local for file in find_inputs([one], ("",))] or self.inputs()[1:]

    def addresses(self) -> Iterator[str] | None:
        """Give the URL of the first row; a column's are known when it is read."""
        name = Path(self.path).name or self.path
        return None if self.url_column else iter([url_below(self.base_url, f"{name}/0")])

    def read(self, file: Input, scratch: Path) -> Iterator[Found]:
        """Yield its pages; raises RequestError for a column that the dataset does not have."""
        from tasks.crawl.inputs.tables import read_dataset

        return read_dataset(file.name, self, scratch)
