"""Cleaning a crawl again of which 1 % changed, beside cleaning it from scratch.

On a quiet machine: `python -m benchmarks.nightly --pages FOLDER`, FOLDER holding real pages as
`*.html.gz`, for example `html/` of Zyte's article extraction benchmark. They are repeated under
other URLs up to `--number`: each is extracted anew, and every byte that comes out is compared.
"""

from __future__ import annotations

import argparse
import gzip
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.ledger import record
from storage.parquet import shard_name
from storage.workspace import Workspace
from tasks.clean.clean import CleanPaths, PageShard, clean_shard, count_reused
from tasks.clean.config import CleanConfig
from tasks.clean.earlier import EarlierShard, SealedFile
from tasks.clean.extractors import Extractor, Resiliparse, Trafilatura
from tasks.crawl.captures import Capture
from tasks.crawl.catalogue import Catalogue
from tasks.crawl.index import write_index

COMMAND = "python -m benchmarks.nightly --pages FOLDER"
SHARDS = 4
EVERY = 100  # one page in so many changes
NEWS = b"<p>One more paragraph, which was not there on the night before this one.</p></body>"


@dataclass(frozen=True)
class Night:
    """A crawl on disk, by shard."""

    root: Path
    entries: Mapping[str, str]
    """sha256 of each file, by its path."""

    def shard(self, index: int) -> PageShard:
        pages, fetches = (shard_name(name, index, SHARDS) for name in ("pages", "fetches"))
        data = self.root / "data"
        return PageShard(data / pages, data / fetches, data / "warc")

    def sealed(self, name: str, index: int) -> SealedFile | None:
        path = shard_name(name, index, SHARDS)
        return (
            SealedFile(self.root / "data" / path, self.entries[path])
            if path in self.entries
            else None
        )


def crawl(bodies: Sequence[bytes], number: int, changed: bool, root: Path) -> Night:
    """`number` pages as the crawl stage writes them; one in EVERY of them `changed`."""
    workspace, now = Workspace(root), datetime.now(UTC)
    with Catalogue(workspace.scratch) as catalogue, catalogue.transaction():
        for index in range(number):
            body = bodies[index % len(bodies)]
            if changed and index % EVERY == 0:
                body = body.replace(b"</body>", NEWS) if b"</body>" in body else body + NEWS
            url = f"http://pages.example/{index}"
            catalogue.add(Capture(url, body, "text/html", "", now, 200, "OK"))
    write_index(workspace, SHARDS)
    return Night(root, {entry.path: entry.sha256 for entry in workspace.entries()})


def clean(
    night: Night, root: Path, extractor: Extractor, earlier: Sequence[EarlierShard] = ()
) -> float:
    """Seconds to clean a night's crawl, one shard after the other."""
    workspace, config = Workspace(root), CleanConfig(extractor=extractor)
    start = time.perf_counter()
    for index in range(SHARDS):
        paths = CleanPaths.of(index, SHARDS)
        clean_shard(
            night.shard(index), config, workspace, paths, earlier=earlier[index : index + 1]
        )
    return time.perf_counter() - start


def lend(crawled: Night, cleaned: Path) -> Iterator[EarlierShard]:
    """What a cleaning can lend to the next."""
    made = Night(cleaned, digests(cleaned))
    for index in range(SHARDS):
        pages = crawled.sealed("pages", index)
        assert pages is not None
        tables = (made.sealed(name, index) for name in ("documents", "rejects", "signals"))
        yield EarlierShard(pages, *tables)


def digests(root: Path) -> dict[str, str]:
    return {entry.path: entry.sha256 for entry in Workspace(root).entries()}


def compare(
    kind: str, extractor: Extractor, nights: tuple[Night, Night], folder: Path, number: int
) -> None:
    """The first night from scratch; the second from scratch, and copied from the first.

    And once more copied where nothing changed: what an unchanged page costs alone.
    """
    first, second = nights
    clean(first, folder / "first", extractor)
    lent = list(lend(first, folder / "first"))
    scratch = clean(second, folder / "scratch", extractor)
    copied = clean(second, folder / "copied", extractor, lent)
    assert digests(folder / "copied") == digests(folder / "scratch")
    same = clean(first, folder / "same", extractor, lent)
    assert digests(folder / "same") == digests(folder / "first")
    assert count_reused(Workspace(folder / "copied")) <= number - number // EVERY
    pages = f"{number:,} real pages, {kind}, one process"
    what = f"cleaning {pages}, 1 % changed; peer: all from scratch"
    record(
        f"nightly, {kind}", what, f"{copied:.2f} s", f"{scratch:.2f} s",
        f"{scratch / copied:.1f}x", COMMAND,
    )  # fmt: skip
    what = f"an unchanged page, mean of {pages}; peer: cleaning it"
    times = (f"{same / number * 1e3:.3f} ms", f"{scratch / number * 1e3:.3f} ms")
    record(f"unchanged page, {kind}", what, *times, f"{scratch / same:.1f}x", COMMAND)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=Path, required=True, help="a folder of *.html.gz")
    parser.add_argument("--number", type=int, default=5000)
    parser.add_argument("--folder", type=Path, help="on the disk to measure; default: here")
    given = parser.parse_args()
    bodies = [gzip.decompress(path.read_bytes()) for path in sorted(given.pages.glob("*.html.gz"))]
    if not bodies:
        parser.error(f"no *.html.gz in {given.pages}; give a folder that holds real pages")
    with tempfile.TemporaryDirectory(dir=given.folder or Path.cwd()) as name:
        folder = Path(name)
        nights = (
            crawl(bodies, given.number, False, folder / "crawl-1"),
            crawl(bodies, given.number, True, folder / "crawl-2"),
        )
        for extractor in (Trafilatura(), Resiliparse()):
            compare(extractor.kind, extractor, nights, folder / extractor.kind, given.number)


if __name__ == "__main__":
    main()
