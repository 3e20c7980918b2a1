"""WARC and WET files: a crawl that someone else made, such as Common Crawl's or wget's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from tasks.config import Config, knob
from tasks.crawl.captures import Found
from tasks.crawl.inputs.listing import Input, find_inputs, local_file
from tasks.crawl.sources.web import Signal

_SUFFIXES = (".warc", ".warc.gz", ".wet", ".wet.gz")


class WarcSource(Config):
    """The HTML responses of WARC files, and the texts of WET files."""

    kind: Literal["warc"] = "warc"
    paths: tuple[str, ...] = knob(
        ...,
        "WARC and WET files, folders of them, globs, and lists of files (`*.paths`, `*.paths.gz`: "
        "one path a line), on this machine or under s3://. Of two records of one URL the first "
        "counts",
        min_length=1,
    )
    prefix: str = knob(
        "", "what each line of a list of files is joined to, such as s3://commoncrawl"
    )
    obey: tuple[Signal, ...] = knob(
        ("noindex", "noai", "tdm-reservation", "ai-train=no"),
        "what pages may ask for and get: such pages are rejects. All signals of a response and its "
        "markup are recorded whether obeyed or not; robots.txt is that of the crawl that made the "
        "files",
    )
    max_page_bytes: int = knob(
        10_000_000, "bytes of one decoded body; a larger one is rejected", ge=1_000
    )

    def inputs(self) -> list[Input]:
        """List the files, in the order of `paths`; raises RequestError for what is not there."""
        return find_inputs(self.paths, _SUFFIXES, self.prefix)

    def read(self, file: Input, scratch: Path) -> Iterator[Found]:
        """Yield the pages and rejects of one file."""
        from tasks.crawl.inputs.warc import read_warc

        with local_file(file, scratch) as path:
            yield from read_warc(file.name, path, self.max_page_bytes, self.obey)
