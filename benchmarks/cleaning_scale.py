"""What more pages and more workers cost cleaning: memory of both processes, pages a second.

`python -m benchmarks.cleaning_scale`, with HTML under /usr/share/doc (Debian: libstdc++-12-doc,
postgresql-doc-15, python3.11-doc, debian-handbook, installation-guide-amd64). The crawl is made of
these pages once, in shards; each run cleans it anew with the recipe's defaults. A worker is a
process with its own sandbox, as the flow places shards of this size. CPU counts all processes.

Memory is the peak of resident memory of the process that cleans, and the highest of its sandbox's
children (VmHWM of /proc: getrusage tells a child's parent's, before its exec), for crawls of more
and more pages in shards of the same size: bounded memory is flat. A shard's rows are held until all
are there; `--shard-pages` shows what that takes, and whether a child that serves more pages grows.
The pages of the largest crawl are partly the same ones under other URLs.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from benchmarks.ledger import record
from storage.workspace import Workspace
from tasks.children import call_in_child
from tasks.clean.clean import CleanPaths, PageShard, clean_shard
from tasks.clean.config import CleanConfig
from tests.tasks.clean.conftest import Page, write_crawl_shard

COMMAND = "python -m benchmarks.cleaning_scale"
DOCUMENTATION = Path("/usr/share/doc")
SHARD_PAGES = 1000
_MOST_BYTES = 1_000_000


def pages(num: int) -> Iterator[Page]:
    """So many pages, evenly spread over what there is, round after round."""
    paths = [path for path in sorted(DOCUMENTATION.rglob("*.html*")) if path.is_file()]
    paths = [path for path in paths if path.suffix in (".html", ".gz")]
    if not paths:
        raise SystemExit(f"no HTML under {DOCUMENTATION}; expected some. Install python3.11-doc.")
    step = max(len(paths) // num, 1)
    drawn = itertools.cycle([*paths[::step], *paths[1::step]] if step > 1 else paths)
    for number, path in enumerate(itertools.islice(drawn, num)):
        body = path.read_bytes()
        body = gzip.decompress(body) if path.suffix == ".gz" else body
        yield Page(f"http://doc.example/{number}{path}", body[:_MOST_BYTES])


def crawl(num: int, folder: Path, shard_pages: int = SHARD_PAGES) -> None:
    """A crawl of so many pages, in shards, under `folder`."""
    drawn = pages(num)
    for number in range(-(-num // shard_pages)):
        write_crawl_shard(list(itertools.islice(drawn, shard_pages)), folder / f"{number:05d}")


class Peaks:
    """The highest resident memory, in MB, of workers and of their children."""

    def __init__(self) -> None:
        self.worker_mb = self.child_mb = 0.0

    def tick(self, _pages: int) -> None:
        """Some times a second."""
        for worker in psutil.Process().children():
            self.worker_mb = max(self.worker_mb, peak_mb(worker.pid))
            with suppress(psutil.NoSuchProcess):
                children = [peak_mb(child.pid) for child in worker.children()]
                self.child_mb = max([self.child_mb, *children])


def peak_mb(pid: int) -> float:
    """VmHWM; 0 of a process that has ended."""
    try:
        said = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = re.search(r"VmHWM:\s+(\d+) kB", said)
    return int(found[1]) / 1e3 if found else 0.0


def clean(folder: Path, workers: int) -> dict[str, Any]:
    """Clean the crawl under `folder` in this process; what it took."""
    crawls, peaks = sorted(folder.iterdir()), Peaks()
    with tempfile.TemporaryDirectory() as out:
        workspace = Workspace(Path(out))

        def one(number: int) -> None:
            data = crawls[number] / "data"
            shard = PageShard(data / "pages.parquet", data / "fetches.parquet", data / "warc")
            paths = CleanPaths.of(number, len(crawls))
            call_in_child(clean_shard, shard, CleanConfig(), workspace, paths, advance=peaks.tick)

        begun, cpu = time.perf_counter(), _cpu()
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(one, range(len(crawls))))
        taken = time.perf_counter() - begun
    return {
        "seconds": taken,
        "cpu": _cpu() - cpu,
        "worker_mb": peaks.worker_mb,
        "child_mb": peaks.child_mb,
    }


_BOTH = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


def _cpu() -> float:
    return sum(each.ru_utime + each.ru_stime for each in map(resource.getrusage, _BOTH))


def measured(folder: Path, workers: int) -> dict[str, Any]:
    """`clean` in a process of its own, whose memory starts from nothing."""
    command = [sys.executable, "-m", "benchmarks.cleaning_scale", "--clean", str(folder)]
    done = subprocess.run(
        [*command, "--workers", str(workers)], check=True, stdout=subprocess.PIPE, text=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def scaling(num: int, most_workers: int) -> None:
    """Pages a second by the number of workers, over one crawl."""
    counts = [count for count in (1, 2, 4, 8, 16, 32) if count <= most_workers]
    with tempfile.TemporaryDirectory() as folder:
        crawl(num, Path(folder))
        runs = [(count, measured(Path(folder), count)) for count in counts]
    print("| workers | pages/s | CPU of a page, ms |\n|---|---|---|")
    for count, run in runs:
        print(f"| {count} | {num / run['seconds']:,.0f} | {run['cpu'] / num * 1e3:.2f} |")
    told = ", ".join(f"{num / run['seconds']:,.0f}" for _, run in runs)
    cpu = ", ".join(f"{run['cpu'] / num * 1e3:.1f}" for _, run in runs)
    ratio = f"{runs[0][1]['seconds'] / runs[-1][1]['seconds']:.2f}x"
    names = ", ".join(map(str, counts))
    what = f"{num:,} manual pages with the defaults, {names} workers; CPU of a page {cpu} ms"
    record("cleaning, workers", what, f"{told} pages/s", "-", ratio, COMMAND)


def memory(sizes: list[int], shard_pages: int) -> None:
    """Peak memory by the number of pages, one worker."""
    runs = []
    for num in sizes:
        with tempfile.TemporaryDirectory() as folder:
            crawl(num, Path(folder), shard_pages)
            runs.append((num, measured(Path(folder), 1)))
    print("| pages | worker, MB | child, MB | pages/s |\n|---|---|---|---|")
    for num, run in runs:
        speed = num / run["seconds"]
        print(f"| {num:,} | {run['worker_mb']:.0f} | {run['child_mb']:.0f} | {speed:,.0f} |")
    told = "; ".join(f"{run['worker_mb']:.0f} + {run['child_mb']:.0f} MB" for _, run in runs)
    sizes_told = ", ".join(f"{num:,}" for num, _ in runs)
    what = f"peak memory of a worker and its child, {sizes_told} manual pages"
    record("cleaning memory", f"{what} in shards of {shard_pages:,}", told, "-", "-", COMMAND)


def main() -> None:
    """Read the command line and go."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=2_000, help="of the crawl for the workers")
    parser.add_argument("--most-workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--memory", type=int, nargs="*", default=[1_000, 5_000, 20_000])
    parser.add_argument("--shard-pages", type=int, default=SHARD_PAGES, help="for the memory")
    parser.add_argument("--workers", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--clean", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.clean:
        print(json.dumps(clean(given.clean, given.workers)))
        return
    if given.pages:
        scaling(given.pages, given.most_workers)
    if given.memory:
        memory(given.memory, given.shard_pages)


if __name__ == "__main__":
    main()
