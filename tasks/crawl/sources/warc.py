"""WARC and WET files: a crawl that someone else made, such as Common Crawl's or wget's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from tasks.config import knob
from tasks.crawl.captures import Found
from tasks.crawl.inputs.listing import Input, find_inputs, local_file
from tasks.crawl.sources.local import HTML_TEXT, Content, LocalSource
from tasks.crawl.sources.web import Signal
from tasks.foresight import Span, exactly

_SUFFIXES = (".warc", ".warc.gz", ".wet", ".wet.gz")


class WarcSource(LocalSource):
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

    def content(self, files: Sequence[Input], num_bytes: float) -> Content:
        """Expect gzip to have packed it 2.5 to 7 times, pages of 20 to 120 kB, texts of 2 to 10."""
        packed = sum(file.name.lower().endswith(".gz") for file in files) / len(files)
        texts = sum(".wet" in file.name.lower() for file in files) / len(files)
        ratio = Span(0.8, 1) * (1 - packed) + Span(2.5, 7) * packed
        body = exactly(num_bytes) * ratio
        size = Span(20e3, 120e3) * (1 - texts) + Span(2e3, 10e3) * texts
        text = body * (HTML_TEXT * (1 - texts) + Span(0.8, 1) * texts)
        return Content.of_files(body / size, body, text)

    def read(self, file: Input, scratch: Path) -> Iterator[Found]:
        """Yield the pages and rejects of one file."""
        from tasks.crawl.inputs.warc import read_warc

        with local_file(file, scratch) as path:
            yield from read_warc(file.name, path, self.max_page_bytes, self.obey)
