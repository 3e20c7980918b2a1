"""What the `datasets` library opens on this machine: arrow folders, CSV, webdataset and others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tasks.config import knob
from tasks.crawl.inputs.listing import Input
from tasks.crawl.sources.columns import Columns

if TYPE_CHECKING:
    from tasks.crawl.inputs.found import Found


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
        """The dataset as one input; raises RequestError for what is not on this machine."""
        from tasks.crawl.inputs.dataset import check_local

        check_local(self)
        return [Input(Path(self.path).name or self.path, self.path)]

    def read(self, file: Input, scratch: Path) -> Iterator[Found]:
        """The pages of the dataset; raises RequestError for a column that it does not have."""
        from tasks.crawl.inputs.dataset import read_dataset

        return read_dataset(file.name, self, scratch)
