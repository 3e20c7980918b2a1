"""What many pages and many URLs cost the live crawl: memory, and time for each operation."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil

from benchmarks.crawling_process import CRAWL, source
from benchmarks.ledger import record
from tasks.crawl.catalogue import Catalogue
from tasks.crawl.live.frontier import Frontier
from tests.tasks.crawl.served import nginx

STEP = 10_000
FRONTIER_SIZES = (100_000, 1_000_000, 5_000_000)
LINKS, NEW_LINKS, HOSTS, STEPS = 50, 5, 1_000, 2_000
_LETTERS = "abcdefghij"
_WORDS = "silt settles where the river slows and the field is drained "


def memory(num_pages: int, cores: Sequence[int], folder: Path) -> None:
    """RSS of a crawl of made-up pages, at every 10 000 of them."""
    server, core = cores
    with nginx(_pages(), folder / "synthetic", ["taskset", "-c", server]) as site:
        given = source(f"{site.url}p/", max_pages=num_pages).model_dump_json()
        words = ["taskset", "-c", core, sys.executable, "-c", CRAWL, given, folder / "memory"]
        begun = time.perf_counter()
        process = subprocess.Popen([str(word) for word in words])
        sizes = list(_sampled(process, site.asked, num_pages))
        taken = time.perf_counter() - begun
    print("| pages | RSS, MB | pages/s so far |\n|---|---|---|")
    for pages, size, seconds in sizes:
        print(f"| {pages:,} | {size / 1e6:,.0f} | {pages / (seconds - begun):,.0f} |")
    if process.wait() != 0 or not sizes:
        raise SystemExit(f"the crawl ended with {process.returncode}; expected 0")
    first, last = (size / 1e6 for _, size, _ in (sizes[0], sizes[-1]))
    what = f"memory of a crawl after {sizes[0][0]:,} and {sizes[-1][0]:,} made-up pages"
    command = f"python -m benchmarks.crawling --synthetic {num_pages}"
    told = f"{first:,.0f} MB, {last:,.0f} MB"
    record("crawl memory", f"{what}, {num_pages / taken:,.0f} pages/s", told, "-", "-", command)


def _sampled(
    process: subprocess.Popen[bytes], asked: Callable[[], Sequence[str]], num_pages: int
) -> Iterator[tuple[int, int, float]]:
    """(pages, bytes, moment) at every step, and at the end."""
    watched, wanted, seen = psutil.Process(process.pid), min(STEP, num_pages), (0, 0, 0.0)
    told = 0
    while process.poll() is None:
        time.sleep(0.02)
        try:
            size = watched.memory_info().rss
        except psutil.Error:
            break
        pages = len(asked())
        if size:
            seen = (pages, size, time.perf_counter())
        if pages >= wanted:
            yield seen
            wanted, told = wanted + STEP, pages
    if seen[0] > told:
        yield seen


def _pages() -> str:
    """nginx makes page `/p/WORD`, of 8 KB: links to ten pages below it and to ten beside it."""
    below = "".join(f"<a href='/p/$up${{own}}{letter}'>x</a> " for letter in _LETTERS)
    beside = "".join(f"<a href='/p/${{up}}{letter}'>x</a> " for letter in _LETTERS)
    filler = "".join(f"set $text{n} '<p>{n} {_WORDS * 32}</p>'; " for n in range(4))
    texts = "".join(f"$text{n}" for n in range(4))
    answer = f"<html><title>$uri</title><body>{below}{beside}<h1>$uri</h1>{texts}</body></html>"
    return (
        f"default_type 'text/html; charset=utf-8'; set $up ''; set $own ''; {filler}"
        f'location ~ "^/p/(?<up>[{_LETTERS}]*)(?<own>[{_LETTERS}])$" {{ return 200 "{answer}"; }} '
        f'location = /p/ {{ return 200 "{answer}"; }} '
    )


def frontier(num_urls: int, folder: Path) -> None:
    """A page's step through the frontier (next, hold, 50 links of which 5 are new, settle)."""
    sizes = [size for size in FRONTIER_SIZES if size <= num_urls] or [num_urls]
    print(
        "| URLs | a page's step, µs | a link, µs | RSS, MB | database, MB |\n|---|---|---|---|---|"
    )
    told = []
    with Catalogue(folder / "frontier") as catalogue:
        queue, chance, filled = Frontier(catalogue), random.Random(0), 0
        for size in sizes:
            filled = _fill(catalogue, queue, filled, size - STEPS * NEW_LINKS)
            seconds = _steps(catalogue, queue, filled, chance)
            filled += STEPS * NEW_LINKS
            step, link = seconds / STEPS * 1e6, seconds / STEPS / LINKS * 1e6
            rss = psutil.Process().memory_info().rss / 1e6
            disk = sum(f.stat().st_size for f in (folder / "frontier").glob("*sqlite*")) / 1e6
            print(f"| {size:,} | {step:,.0f} | {link:.1f} | {rss:,.0f} | {disk:,.0f} |", flush=True)
            told.append(f"{step:,.0f}")
    what = (
        f"frontier: a page's step with {LINKS} links, at {', '.join(f'{s:,}' for s in sizes)} URLs"
    )
    command = f"python -m benchmarks.crawling --frontier {num_urls}"
    record("frontier", what, f"{', '.join(told)} µs", "-", "-", command)


def _url(number: int) -> str:
    return f"http://host{number % HOSTS}.example/section-{number % 7}/page-{number}.html"


def _fill(catalogue: Catalogue, queue: Frontier, first: int, end: int) -> int:
    """Queue URLs by the thousand."""
    for start in range(first, end, 1_000):
        with catalogue.transaction():
            queue.add((_url(number) for number in range(start, min(start + 1_000, end))), 1)
    return max(first, end)


def _steps(catalogue: Catalogue, queue: Frontier, filled: int, chance: random.Random) -> float:
    """Seconds for so many pages, each in two transactions, as the crawl has them."""
    last = dict.fromkeys(range(HOSTS), 0)
    pages = [
        [_url(filled + step * NEW_LINKS + new) for new in range(NEW_LINKS)]
        + [_url(chance.randrange(filled)) for _ in range(LINKS - NEW_LINKS)]
        for step in range(STEPS)
    ]
    begun = time.perf_counter()
    for step, links in enumerate(pages):
        host = queue.host(f"host{step % HOSTS}.example")
        (queued,) = queue.after(host, last[step % HOSTS], 1)
        last[step % HOSTS] = queued.seq
        with catalogue.transaction():
            queue.hold(queued, "[]")
        with catalogue.transaction():
            queue.add(links, 2)
            queue.settle(queued)
    return time.perf_counter() - begun
