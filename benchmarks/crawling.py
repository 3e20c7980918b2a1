"""The live crawl beside Scrapy and wget, on real pages; its memory; its frontier.

On a quiet machine of two cores or more, with the Debian packages nginx-light, libstdc++-12-doc and
wget, and Scrapy in a virtual environment of its own
(`python -m venv peers && peers/bin/pip install scrapy==2.19.0`):
`python -m benchmarks.crawling --scrapy peers/bin/python`.

nginx serves the 3 906 pages of libstdc++'s documentation (122 MB) on one core; the crawlers run on
another, in turn, several times, and the median time of each counts. Politeness is off, with 16
connections at once (wget knows one only). All fetch the same pages and follow the same links; phusa
and wget write WARC files as they go, Scrapy keeps nothing.

`--synthetic 100000` prints the memory of a crawl of so many made-up pages, at every 10 000 of them;
`--frontier 5000000` the time of the frontier's operations with so many URLs in it. Each may be
given alone; these two take some minutes, and 2 GB of disk.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fastwarc.warc import ArchiveIterator, WarcRecordType

from benchmarks.crawling_process import CONNECTIONS, CRAWL, source
from benchmarks.crawling_scale import frontier, memory
from benchmarks.ledger import record
from tasks.crawl.catalogue import Catalogue
from tests.tasks.crawl.served import DOCUMENTATION, nginx

COMMAND = "python -m benchmarks.crawling --scrapy PATH"
IN_SCOPE = r"^http://127\.0\.0\.1:[0-9]+/[^?#]*\.html$"  # wget reads POSIX
SPIDER = Path(__file__).with_name("crawling_spider.py")


@dataclass(frozen=True)
class Run:
    """One crawl: pages, and the whole process's wall and CPU time."""

    pages: int
    wall_s: float
    cpu_s: float

    @property
    def pages_per_s(self) -> float:
        return self.pages / self.wall_s

    @property
    def cpu_ms(self) -> float:
        return self.cpu_s / self.pages * 1e3


def timed(core: int, command: Sequence[object], accepted: Sequence[int] = (0,)) -> Run:
    """Run a command on one core, start to end."""
    begun = time.perf_counter()
    process = subprocess.Popen(["taskset", "-c", str(core), *map(str, command)])
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in accepted:
        raise SystemExit(f"{command} ended with {process.returncode}; expected {accepted}")
    return Run(0, wall, usage.ru_utime + usage.ru_stime)


def ours(url: str, folder: Path, core: int) -> Run:
    """The live crawl, with its WARC files and catalogue on disk."""
    given = source(url, include=(IN_SCOPE,)).model_dump_json()
    run = timed(core, [sys.executable, "-c", CRAWL, given, folder])
    with Catalogue(folder) as catalogue:
        return Run(catalogue.num_pages, run.wall_s, run.cpu_s)


def by_scrapy(python: Path, url: str, folder: Path, core: int) -> Run:
    """Scrapy's own scheduler, downloader and link extractor; pages are counted and forgotten."""
    folder.mkdir()
    said = folder / "stats.json"
    run = timed(core, [python, SPIDER, url, IN_SCOPE, CONNECTIONS, said])
    return Run(json.loads(said.read_text())["pages"], run.wall_s, run.cpu_s)


def by_wget(url: str, folder: Path, core: int) -> Run:
    """One connection, WARC by wget itself; it parses links from the tree that it writes."""
    folder.mkdir()
    command = ["wget", "--quiet", "--recursive", "--level=inf", "--no-parent", "-erobots=off"]
    command += [f"--accept-regex={IN_SCOPE}", f"--directory-prefix={folder / 'tree'}"]
    run = timed(core, [*command, f"--warc-file={folder / 'site'}", url], (0, 8))
    with (folder / "site.warc.gz").open("rb") as stream:
        records = ArchiveIterator(stream, record_types=WarcRecordType.response)
        pages = sum(
            record.http_headers is not None and record.http_headers.status_code == 200
            for record in records
        )
    return Run(pages, run.wall_s, run.cpu_s)


def compare(given: argparse.Namespace, folder: Path) -> None:
    """All crawlers in turn."""
    server, core = given.cores
    crawlers: dict[str, Callable[[str, Path], Run]] = {
        "phusa": lambda url, to: ours(url, to, core),
        "scrapy": lambda url, to: by_scrapy(given.scrapy.absolute(), url, to, core),
        "wget": lambda url, to: by_wget(url, to, core),
    }
    runs: dict[str, list[Run]] = {name: [] for name in crawlers}
    serve = f"root {given.docs}; index index.html;"
    with nginx(serve, folder / "nginx", ["taskset", "-c", server]) as site:
        for _ in range(given.repeats):
            for name, crawl in crawlers.items():
                runs[name].append(crawl(f"{site.url}index.html", folder / name))
                shutil.rmtree(folder / name)
                print(f"{name:8}", tell(runs[name][-1]), flush=True)
    middle = {
        name: sorted(tried, key=lambda run: run.wall_s)[len(tried) // 2]
        for name, tried in runs.items()
    }
    report(middle, "libstdc++'s documentation" if given.docs == DOCUMENTATION[0] else given.docs)


def tell(run: Run) -> str:
    return (
        f"{run.pages:,} pages, {run.wall_s:.2f} s, {run.pages_per_s:,.0f} pages/s, "
        f"{run.cpu_s:.2f} s of CPU, {run.cpu_ms:.2f} ms a page"
    )


def report(found: dict[str, Run], docs: object) -> None:
    """Rows for the page, if all fetched as many pages, but for one in a thousand.

    Scrapy's parser reads two links of libstdc++'s manual otherwise.
    """
    mine, scrapy, wget = (found[name] for name in ("phusa", "scrapy", "wget"))
    if any(abs(run.pages - mine.pages) > mine.pages / 1000 for run in found.values()):
        counts = ", ".join(f"{name}: {run.pages:,}" for name, run in found.items())
        raise SystemExit(f"the crawlers fetched different pages ({counts}); expected the same")
    pages = f"{mine.pages:,} pages of {docs} on loopback, one core"
    for key, what, peer in (
        ("crawl", f"{CONNECTIONS} connections; peer: Scrapy, links alone, no WARC", scrapy),
        ("crawl, wget", "peer: wget -r --warc-file, which has one connection", wget),
    ):
        speeds = (f"{mine.pages_per_s:,.0f} pages/s", f"{peer.pages_per_s:,.0f} pages/s")
        ratio = f"{mine.pages_per_s / peer.pages_per_s:.1f}x"
        record(key, f"{pages}, with WARC; {what}", *speeds, ratio, COMMAND)
        costs = (f"{mine.cpu_ms:.2f} ms", f"{peer.cpu_ms:.2f} ms")
        ratio = f"{peer.cpu_ms / mine.cpu_ms:.1f}x"
        record(f"{key}, CPU", f"CPU a page, {pages}, with WARC; {what}", *costs, ratio, COMMAND)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scrapy", type=Path, help="the python of an environment with Scrapy")
    parser.add_argument("--docs", type=Path, default=DOCUMENTATION[0], help="a folder of HTML")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cores", type=int, nargs=2, default=(0, 1), help="nginx's, the crawler's")
    parser.add_argument("--synthetic", type=int, metavar="PAGES", help="memory over so many pages")
    parser.add_argument(
        "--frontier", type=int, metavar="URLS", help="operations up to so many URLs"
    )
    parser.add_argument("--folder", type=Path, help="on the disk to measure; default: here")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder or Path.cwd()) as name:
        folder = Path(name)
        if given.scrapy:
            compare(given, folder)
        if given.synthetic:
            memory(given.synthetic, given.cores, folder)
        if given.frontier:
            frontier(given.frontier, folder)


if __name__ == "__main__":
    main()
