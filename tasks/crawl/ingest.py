"""Pages from files: each record of each input, in their order, into the catalogue."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Protocol

from storage.errors import NothingLeft
from storage.takedown import NOTHING, Forgotten
from tasks.crawl.captures import Capture, Found, RejectedUrl, reject_forgotten
from tasks.crawl.catalogue import DATABASE, WARC_FOLDER, Catalogue
from tasks.crawl.inputs.listing import Input
from tasks.progress import Bar, note, track

_BATCH = 200  # records in one transaction: what a kill costs at most
_BATCH_BYTES = 64 << 20
_WHOLE = "all of "


class FileSource(Protocol):
    """A source of pages that are there already."""

    @property
    def kind(self) -> str:
        """Which member of the union it is."""

    def inputs(self) -> list[Input]:
        """List what is read, in its order. Raises RequestError for what is not there."""

    def read(self, file: Input, scratch: Path) -> Iterator[Found]:
        """Yield the records of one input, the same each time; `scratch` is for temporary files."""


def ingest(source: FileSource, folder: Path, forgotten: Forgotten = NOTHING) -> None:
    """Read a source into `folder` (the catalogue's database and warc/), from where an earlier call
    stopped. URLs that are `forgotten` are rejects.

    Raises NothingLeft if not one page is found, RequestError for inputs that are not there.
    """
    inputs = source.inputs()
    with _opened(folder) as catalogue, track("read", len(inputs), "inputs") as bar:
        for file in inputs:
            if not catalogue.done(_WHOLE + file.name):
                _Reading(catalogue, forgotten, bar).read(file, source.read(file, folder))
            bar.advance(1, pages=catalogue.num_pages)
        if catalogue.num_pages == 0:
            raise NothingLeft(_nothing(source, inputs, catalogue.reasons()))


def _opened(folder: Path) -> Catalogue:
    """Open the catalogue of an earlier call, or a new one where a loss of power took records of it.

    Which of its inputs they came from is not known, so that all are read again.
    """
    catalogue = Catalogue(folder)
    lost = catalogue.drop_lost()
    if not lost:
        return catalogue
    catalogue.close()
    note(f"{len(lost)} pages did not outlast a loss of power: all inputs are read again")
    for suffix in ("", "-wal", "-shm"):
        (folder / f"{DATABASE}{suffix}").unlink(missing_ok=True)
    shutil.rmtree(folder / WARC_FOLDER)
    return Catalogue(folder)


class _Reading:
    """One input on its way into the catalogue."""

    def __init__(self, catalogue: Catalogue, forgotten: Forgotten, bar: Bar) -> None:
        self._catalogue, self._forgotten, self._bar = catalogue, forgotten, bar

    def read(self, file: Input, records: Iterator[Found]) -> None:
        """Commit what is not yet committed of an input, batch by batch."""
        catalogue = self._catalogue
        done, is_last = catalogue.done(file.name), False
        with closing(records):  # type: ignore[type-var]
            rest = islice(records, done, None)
            while not is_last:
                batch, is_last = _batch(rest)
                done += len(batch)
                with catalogue.transaction():
                    self._keep(batch)
                    catalogue.set_done(file.name, done)
                    if is_last:
                        catalogue.set_done(_WHOLE + file.name, 1)
                self._bar.advance(0, pages=catalogue.num_pages)

    def _keep(self, batch: Iterable[Found]) -> None:
        for place, what in batch:
            rule = self._forgotten.covers(what.url)
            if rule is not None:
                self._catalogue.reject(reject_forgotten(what.url, rule))
            elif isinstance(what, RejectedUrl):
                self._catalogue.reject(what)
            elif self._catalogue.add(what) is None:
                self._catalogue.reject(_duplicate(place, what))


def _batch(records: Iterator[Found]) -> tuple[list[Found], bool]:
    """Take the next records, of not too many bytes, and whether they are the last."""
    batch, num_bytes = [], 0
    for found in records:
        batch.append(found)
        num_bytes += len(found.what.body) if isinstance(found.what, Capture) else 0
        if len(batch) == _BATCH or num_bytes >= _BATCH_BYTES:
            return batch, False
    return batch, True


def _duplicate(place: str, capture: Capture) -> RejectedUrl:
    """Reject a second page of a URL, named by its place: its URL is that of a page."""
    return RejectedUrl(place, "duplicate_url", capture.url, "a URL that was not read before")


def _nothing(source: FileSource, inputs: list[Input], reasons: Mapping[str, int]) -> str:
    counted = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
    return (
        f"not one page in {len(inputs)} inputs of kind {source.kind}, the first {inputs[0].name} "
        f"[{counted or 'no record at all'}]; expected at least one page. Look whether "
        "crawl.source names the right files, and its kind is theirs."
    )
