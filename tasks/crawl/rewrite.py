"""A crawl without some of its pages: their rows go, and their records leave the WARC file.

It is the same for a crawl that had fetched such a page before it was taken down, and for a sealed
crawl that is rewritten without it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from fastwarc.warc import ArchiveIterator, WarcRecordType

from storage.errors import DamagedArtifact
from storage.parquet import read_table
from storage.workspace import Workspace
from tasks.crawl.frontier import FetchedPage, RejectedUrl

Rule = Callable[[FetchedPage], str | None]
"""What says that a page is to be left out, or None."""

_CHUNK_BYTES = 1 << 20


def reject_forgotten(url: str, rule: str) -> RejectedUrl:
    """The reject of a URL whose content was taken down."""
    return RejectedUrl(url, "forgotten", rule, "content that was not taken down")


def leave_out(
    pages: Sequence[FetchedPage], rejects: Sequence[RejectedUrl], rule: Rule
) -> tuple[list[FetchedPage], list[RejectedUrl]]:
    """The pages without those that a rule speaks of, which become rejects; sorted as they were."""
    rules = {page.url: found for page in pages if (found := rule(page)) is not None}
    dropped = [reject_forgotten(url, found) for url, found in rules.items()]
    kept = [page for page in pages if page.url not in rules]
    return kept, sorted([*rejects, *dropped], key=lambda reject: reject.url)


def read_crawl(
    pages: Sequence[Path], fetches: Sequence[Path], rejects: Sequence[Path], warc_bytes: int
) -> tuple[list[FetchedPage], list[RejectedUrl]]:
    """The pages by id and the rejects by URL, as the frontier gave them, from a sealed crawl.

    A record ends where the next one begins; the last one ends with the file, at `warc_bytes`.
    """
    rows = {row["page_id"]: row for row in read_table(pages).to_pylist()}
    found = []
    for fetch in read_table(fetches).to_pylist():
        at = fetch.pop("fetched_at")
        facts = {"fetched_at_ms": round(at.timestamp() * 1000), "warc_end": warc_bytes}
        found.append(FetchedPage(**rows[fetch["page_id"]] | fetch | facts))
    found.sort(key=lambda page: page.warc_offset)
    ends = [page.warc_offset for page in found[1:]]
    found = [replace(p, warc_end=end) for p, end in zip(found, [*ends, warc_bytes], strict=True)]
    read = (row for path in rejects for row in read_table([path]).to_pylist())
    fields = ("url", "reason", "value", "threshold")
    return (
        sorted(found, key=lambda page: page.page_id),
        [RejectedUrl(*(row[field] for field in fields)) for row in read],
    )


def write_warc(
    workspace: Workspace, path: str, warc: Path, fetched: Sequence[FetchedPage], kept: set[str]
) -> dict[str, int]:
    """Write the segment without the records of all `fetched` pages but those `kept`, by their id.

    What is kept goes over byte for byte, in its order. Returns the new offset of each record.
    Raises DamagedArtifact if the new file does not read back as these pages and no other.
    """
    records = sorted(fetched, key=lambda page: page.warc_offset)
    assert all(a.warc_end <= b.warc_offset for a, b in pairwise(records)), "records overlap"
    offsets: dict[str, int] = {}
    with workspace.writing(path, volatile=True) as target, warc.open("rb") as source:
        written = _copy(source, 0, records[0].warc_offset if records else None, target)
        for page in records:
            if page.page_id in kept:
                offsets[page.page_id] = written
                written += _copy(source, page.warc_offset, page.warc_end, target)
    _check(workspace.data / path, {offsets[p.page_id]: p for p in records if p.page_id in kept})
    return offsets


def _copy(source: BinaryIO, start: int, end: int | None, target: BinaryIO) -> int:
    """Copy bytes from `start` to `end`, or all; returns how many."""
    source.seek(start)
    copied = 0
    while chunk := source.read(_CHUNK_BYTES if end is None else min(_CHUNK_BYTES, end - start)):
        target.write(chunk)
        start += len(chunk)
        copied += len(chunk)
    return copied


def _check(warc: Path, expected: Mapping[int, FetchedPage]) -> None:
    found = dict(_responses(warc))
    wrong = {
        offset
        for offset in found.keys() | expected.keys()
        if offset not in expected
        or found.get(offset) != (expected[offset].url, expected[offset].body_digest)
    }
    if wrong:
        raise DamagedArtifact(
            f"{warc} was rewritten with {len(found)} responses, of which {len(wrong)} are not what "
            f"the fetch table names (the first at byte {min(wrong)}); expected "
            f"{len(expected)} whole ones. The crawl's file was altered: build it again with "
            "--force crawl."
        )


def _responses(warc: Path) -> Iterator[tuple[int, tuple[str, str]]]:
    """Offset, URL and sha256 of the body of every response in the file."""
    with warc.open("rb") as stream:
        for record in ArchiveIterator(stream, parse_http=True):
            if record.record_type == WarcRecordType.response:
                url = record.headers.get("WARC-Target-URI") or ""
                digest = hashlib.sha256(record.reader.read()).hexdigest()
                yield record.stream_pos, (url, digest)
