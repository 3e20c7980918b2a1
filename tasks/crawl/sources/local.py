"""What all sources of files have in common: what can be told of them before they are read."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from storage.errors import Fault, RequestError
from tasks.config import Config
from tasks.crawl.inputs.listing import S3, Input
from tasks.foresight import Known, Span

_SAMPLE = 500  # files whose sizes are asked for
HTML_TEXT = Span(0.04, 0.3)
"""Bytes of text in a byte of HTML: 0.22 in pydoc's pages, 0.06 in a manual that mdBook made."""


@dataclass(frozen=True)
class Content:
    """What a source is expected to give: pages, bytes of their bodies, bytes of text in those, and
    the seconds that getting them takes."""

    pages: Span
    body: Span
    text: Span
    seconds: Span

    @classmethod
    def of_files(cls, pages: Span, body: Span, text: Span) -> Content:
        """Content that is read, at 5 to 100 MB/s, and not fetched."""
        return cls(pages, body, text, Span(0.5, 2) + body / Span(5e6, 100e6))


class LocalSource(Config):
    """A source that reads files."""

    @abstractmethod
    def inputs(self) -> list[Input]:
        """Find the files to read; raises RequestError for what is not there."""

    @abstractmethod
    def content(self, files: Sequence[Input], num_bytes: float) -> Content:
        """Say what these files, of so many bytes, are expected to give."""

    def foreseen(self, known: Known) -> Iterator[Fault]:
        """Files that are not there; of a bucket, reading will tell."""
        try:
            _ = self.found
        except RequestError as error:
            for fault in error.faults:
                knob, _, place = fault.where.removeprefix("crawl.source").partition(": ")
                found = f"{place}: {fault.found}" if place else fault.found
                yield replace(fault, where=knob.removeprefix("."), found=found)

    def expected(self) -> Content | None:
        """Say what the files are expected to give, from their number and a sample of their sizes;
        None for those of a bucket."""
        with suppress(RequestError, OSError):
            files = self.found
            sample = files[:: max(1, len(files) // _SAMPLE)]
            if sample:
                total = sum(Path(file.address).stat().st_size for file in sample)
                return self.content(files, total * len(files) / len(sample))
        return None

    @cached_property
    def found(self) -> list[Input]:
        """The files, those of this machine alone: a walk through a large folder takes a while."""
        named = self.model_dump_json(include={"path", "paths", "prefix"})
        return [] if S3 in named else self.inputs()
