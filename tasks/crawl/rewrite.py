"""A crawl without some of its pages: their rows go, and their records leave the WARC files.

It is the same for a crawl that had fetched such a page before it was taken down, and for a sealed
crawl that is rewritten without it.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from fastwarc.warc import ArchiveIterator, WarcRecordType

from storage.errors import DamagedArtifact
from storage.parquet import read_table
from storage.workspace import Workspace
from tasks.crawl.captures import RejectedUrl
from tasks.crawl.catalogue import FetchedPage
from tasks.stage import Outcome, Rewriting

Rule = Callable[[FetchedPage], str | None]
"""What says that a page is to be left out, or None."""

_CHUNK_BYTES = 1 << 20
_KEPT_TYPES = WarcRecordType.response | WarcRecordType.resource


def rewrite(job: Rewriting) -> Outcome:
    """Write a sealed crawl without the pages that it holds of what was taken down."""
    from tasks.crawl.index import Crawled, write_crawl  # it copies by what stands below

    old, rules = job.old, cast("Mapping[str, str]", job.held.found)
    tables = zip(old.files("pages/"), old.files("fetches/"), strict=True)
    hosts = [row for path in old.files("hosts") for row in read_table([path]).to_pylist()]
    crawled = Crawled(
        [SealedShard(*paths) for paths in tables],
        read_rejects(old.files("rejects")),
        old.files("warc/"),
        hosts,
    )
    stats = write_crawl(job.workspace, crawled, lambda page: rules.get(page.page_id))
    return Outcome(stats.pop("rows_in"), stats.pop("rows_out"), stats)


@dataclass(frozen=True)
class SealedShard:
    """The pages of a sealed crawl's shard, by id, as the catalogue had them."""

    pages: Path
    fetches: Path

    def __iter__(self) -> Iterator[FetchedPage]:
        rows = {row["page_id"]: row for row in read_table([self.pages]).to_pylist()}
        found = []
        for fetch in read_table([self.fetches]).to_pylist():
            moments = {
                f"{name}_ms": round(fetch.pop(name).timestamp() * 1000)
                for name in ("fetched_at", "checked_at")
            }
            found.append(FetchedPage(**rows[fetch["page_id"]] | fetch | moments))
        yield from sorted(found, key=lambda page: page.page_id)


def read_rejects(rejects: Sequence[Path]) -> list[RejectedUrl]:
    """The rejects of a sealed crawl, by URL."""
    fields = ("url", "reason", "value", "threshold")
    read = (row for path in rejects for row in read_table([path]).to_pylist())
    return [RejectedUrl(*(row[field] for field in fields)) for row in read]


def copy_whole(workspace: Workspace, path: str, segment: Path) -> None:
    """Write a segment as it is."""
    with workspace.writing(path, volatile=True) as target, segment.open("rb") as source:
        shutil.copyfileobj(source, target, _CHUNK_BYTES)


def copy_segment(
    workspace: Workspace,
    path: str,
    segment: Path,
    fetched: Iterable[FetchedPage],
    dropped: Collection[str],
) -> dict[str, int]:
    """Write a segment without the records of those of all its `fetched` pages that are `dropped`.

    What is kept goes over byte for byte, in its order, and `revisit` records, which only say when a
    page was asked for again, stay behind with the rest. Returns the new offset of each record, by
    page id. Raises DamagedArtifact if the new file does not read back as these pages and no other.
    """
    records = sorted(fetched, key=lambda page: page.warc_offset)
    kept = [page for page in records if page.page_id not in dropped]
    places: dict[int, FetchedPage] = {}
    with workspace.writing(path, volatile=True) as target, segment.open("rb") as source:
        written = _copy(source, 0, _header_bytes(segment), target)
        for page in kept:
            places[written] = page
            written += _copy(source, page.warc_offset, page.place.end, target)
    _check(workspace.data / path, places)
    return {page.page_id: offset for offset, page in places.items()}


def _header_bytes(segment: Path) -> int:
    """Bytes of the `warcinfo` record that a segment begins with."""
    with segment.open("rb") as stream:
        positions = (record.stream_pos for record in ArchiveIterator(stream, parse_http=False))
        next(positions, None)
        return int(next(positions, 0))


def _copy(source: BinaryIO, start: int, end: int, target: BinaryIO) -> int:
    """Copy bytes from `start` to `end`; returns how many."""
    source.seek(start)
    copied = 0
    while chunk := source.read(min(_CHUNK_BYTES, end - start - copied)):
        target.write(chunk)
        copied += len(chunk)
    return copied


def _check(warc: Path, expected: Mapping[int, FetchedPage]) -> None:
    found = dict(_pages(warc))
    wrong = {
        offset
        for offset in found.keys() | expected.keys()
        if offset not in expected
        or found.get(offset) != (expected[offset].url, expected[offset].body_digest)
    }
    if wrong:
        raise DamagedArtifact(
            f"{warc} was rewritten with {len(found)} pages, of which {len(wrong)} are not what "
            f"the fetch table names (the first at byte {min(wrong)}); expected "
            f"{len(expected)} whole ones. The crawl's file was altered: build it again with "
            "--force crawl."
        )


def _pages(warc: Path) -> Iterator[tuple[int, tuple[str, str]]]:
    """Offset, URL and sha256 of the body of every page in the file."""
    with warc.open("rb") as stream:
        for record in ArchiveIterator(stream, parse_http=True, record_types=_KEPT_TYPES):
            url = record.headers.get("WARC-Target-URI") or ""
            digest = hashlib.sha256(record.reader.read()).hexdigest()
            yield record.stream_pos, (url, digest)
