"""kill -9 at random moments: what a crawl ends with is what it would have ended with unbroken."""

from __future__ import annotations

import asyncio
import hashlib
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType

from tasks.crawl.live.crawler import crawl
from tasks.crawl.sources.web import WebSource
from tests.tasks.crawl.hostile.answers import HTML, html, raw, redirect, words
from tests.tasks.crawl.hostile.outcome import Outcome, read
from tests.tasks.crawl.hostile.server import Exchange, HostileServer
from tests.tasks.crawl.knobs import web_source
from tests.tasks.crawl.served import Served, documentation, served

ROOT = Path(__file__).parents[4]
CONNECTIONS = 4
CRAWL = """
import sys
from pathlib import Path
from tasks.crawl.live.crawler import crawl
from tasks.crawl.sources.web import WebSource
crawl(WebSource.model_validate_json(sys.argv[1]), Path(sys.argv[2]))
"""
_PAGES = 400


@pytest.fixture(params=["small", pytest.param("large", marks=pytest.mark.fleet)])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    """A small site of slow pages; or real documentation."""
    with ExitStack() as stack:
        if request.param == "small":
            yield _small(stack.enter_context(HostileServer()))
            return
        root = documentation()
        if root is None:
            pytest.skip("none of libstdc++-12-doc, postgresql-doc-15, python3.11-doc is installed")
        yield stack.enter_context(served(root, tmp_path / "server"))


def _small(server: HostileServer) -> Served:
    """A tree of pages, with links that lead back, elsewhere and nowhere; each takes 4 ms."""
    host = server.host()

    async def slow(exchange: Exchange) -> None:
        path = exchange.asked.path
        number = int(path.strip("/p") or 0)
        children = [f"/p{c}" for c in range(3 * number + 1, 3 * number + 4) if c < _PAGES]
        odd = [f"/gone{number}"] if number % 9 == 0 else [f"/moved{number}"] * (number % 7 == 0)
        body = html("/", *children, *odd, text=words(path)).encode()
        await asyncio.sleep(0.004)
        await exchange.send(raw(f"HTTP/1.1 200 OK\nContent-Type: {HTML}", body).raw)

    host.routes |= {f"/p{number}": slow for number in range(1, _PAGES)} | {"/": slow}
    host.routes |= {f"/moved{n}": redirect(f"/p{n // 2 + 1}") for n in range(1, _PAGES)}
    return Served(f"{host.url}/", lambda: [asked.path for asked in host.log])


def _kill(site: Served, source: WebSource, folder: Path, requests: int, later_s: float) -> bool:
    """Crawl in another process; kill it `later_s` after so many requests; whether it lived then."""
    begun = len(site.asked())
    command = [sys.executable, "-c", CRAWL, source.model_dump_json(), str(folder)]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        while process.poll() is None and len(site.asked()) - begun < requests:
            time.sleep(0.001)
        time.sleep(later_s)
    finally:
        process.kill()
    return process.wait() == -signal.SIGKILL


def _kill_often(site: Served, source: WebSource, folder: Path, kills: int, known: set[str]) -> None:
    """Kill a crawl so many times, at random moments that are spread over its `known` paths.

    Before each next kill no more was asked for again than there were connections at those before.
    """
    chance, begun = random.Random(kills), len(site.asked())
    for number in range(kills):
        requests = chance.uniform(0.2, 1.0) * len(known) / (1.6 * kills)
        assert _kill(site, source, folder, max(int(requests), 1), chance.uniform(0, 0.02))
        assert _num_again(site, begun, known) <= number * CONNECTIONS


def _num_again(site: Served, begun: int, known: set[str]) -> int:
    """How many of the requests for `known` paths were not the first."""
    paths = [path for path in site.asked()[begun:] if path in known]
    return len(paths) - len(set(paths))


def _same(found: Outcome) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    pages = {(url, page.body_digest) for url, page in found.pages.items()}
    return pages, {(url, reject.reason) for url, reject in found.rejects.items()}


def _check_segments(found: Outcome) -> None:
    """warcio and FastWARC read every record of every segment, and each page is in one once."""
    warcio = Path(sys.executable).parent / "warcio"
    checked = subprocess.run([warcio, "check", *found.segments], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
    urls: Counter[str] = Counter()
    for segment in found.segments:
        with segment.open("rb") as stream:
            for record in ArchiveIterator(stream):
                if record.record_type == WarcRecordType.response:
                    assert record.verify_payload_digest()
                    urls[record.headers["WARC-Target-URI"]] += 1
    assert urls == Counter(set(found.pages))


@pytest.mark.parametrize("share", [1.0, 0.6], ids=["whole", "within a budget"])
def test_kills_change_nothing(
    site: Served, share: float, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Also where a budget leaves pages out: the same ones, and none is asked for in vain."""
    kills = 50 if "large" in request.node.name else 8
    knobs = {"connections_per_host": CONNECTIONS, "timeout_s": 30}
    if share < 1:
        knobs["max_pages"] = int(_PAGES * share)
        kills //= 2
    source = web_source(site.url, **knobs)
    crawl(source, tmp_path / "unbroken")
    unbroken = read(tmp_path / "unbroken")
    assert len(unbroken.pages) >= _PAGES * share - 1
    known = {url.removeprefix(site.url.rstrip("/")) for url in (*unbroken.pages, *unbroken.rejects)}

    begun = len(site.asked())
    _kill_often(site, source, tmp_path / "broken", kills, known)
    between = read(tmp_path / "broken")
    assert len(between.pages) < len(unbroken.pages)
    _check_bodies(between)
    crawl(source, tmp_path / "broken")
    broken = read(tmp_path / "broken")

    assert _same(broken) == _same(unbroken)
    _check_segments(broken)
    _check_bodies(broken)
    assert _num_again(site, begun, known) <= kills * CONNECTIONS
    assert known <= set(site.asked()[begun:])


def _check_bodies(found: Outcome) -> None:
    for url, page in found.pages.items():
        assert hashlib.sha256(found.bodies[url]).hexdigest() == page.body_digest
