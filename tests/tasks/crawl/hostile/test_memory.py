"""What a page may cost: memory stays flat whatever is sent, and time within bounds."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tasks.crawl.live.sitemaps import MAX_BYTES
from tests.tasks.crawl.hostile.answers import HTML, answer, any_page, packed, page, raw, words
from tests.tasks.crawl.hostile.bombs import BOMBS
from tests.tasks.crawl.hostile.server import Exchange, Host

RSS = "application/rss+xml"
MOST_GROWTH = 60_000_000
_PEAK = Path("/proc/self/clear_refs")
needs_peak = pytest.mark.skipif(not _PEAK.exists(), reason="Linux alone tells a process's peak")


@dataclass
class Growth:
    """Bytes of memory at the peak of a block, over those before it."""

    num_bytes: int = 0


@contextmanager
def growth() -> Iterator[Growth]:
    result = Growth()
    _PEAK.write_text("5")  # man 5 proc: the peak is what there is now
    before = _memory("VmRSS")
    yield result
    result.num_bytes = _memory("VmHWM") - before


def _memory(what: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(what)).split()[1]) * 1024


@needs_peak
@pytest.mark.parametrize("coding", BOMBS)
def test_bombs(coding: str, host: Host, crawl: Any) -> None:
    bomb = BOMBS[coding]()
    assert len(bomb) < 110_000
    host.links("/", *(f"/bomb/{number}" for number in range(4)), "/last")
    host.links("/last")
    for number in range(4):
        host.routes[f"/bomb/{number}"] = packed(bomb, coding.removesuffix(", wide"))
    with growth() as grown:
        found = crawl(host, max_page_bytes=5_000_000)
    assert found.kept(host.url) == {"/", "/last"}
    reasons = {"undecodable"} if "," in coding else {"too_large"}
    assert set(found.reasons(host.url).values()) == reasons
    assert grown.num_bytes < MOST_GROWTH
    assert found.seconds < 5


@needs_peak
@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_bombs_in_the_place_of_sitemaps(coding: str, host: Host, crawl: Any) -> None:
    """Sitemaps are unpacked up to the 50 MB that their protocol allows, and no further."""
    bomb = BOMBS[coding]()
    host.links("/", "/last", head=f'<link rel="alternate" type="{RSS}" href="/feed.xml">')
    host.links("/last")
    rules = answer(
        f"Sitemap: {host.url}/map.xml\nSitemap: {host.url}/map.xml.gz", kind="text/plain"
    )
    host.routes |= {
        "/robots.txt": rules,
        "/.well-known/tdmrep.json": packed(bomb, coding),
        "/map.xml": packed(bomb, coding),
        "/map.xml.gz": answer(BOMBS["gzip"](), kind="application/gzip"),
        "/feed.xml": packed(bomb, coding),
    }
    with growth() as grown:
        found = crawl(host, max_page_bytes=5_000_000)
    assert found.kept(host.url) == {"/", "/last"}
    assert grown.num_bytes < MOST_GROWTH + 2 * MAX_BYTES
    assert found.seconds < 5


@needs_peak
@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_a_bomb_for_robots_txt(coding: str, host: Host, crawl: Any) -> None:
    host.links("/")
    host.routes["/robots.txt"] = packed(BOMBS[coding](), coding, Content_Type="text/plain")
    with growth() as grown:
        found = crawl(host)
    assert found.kept(host.url) <= {"/"}
    assert grown.num_bytes < MOST_GROWTH
    assert found.seconds < 5


async def _rubbish_after_gzip(exchange: Exchange) -> None:
    head = f"HTTP/1.1 200 OK\nContent-Type: {HTML}\nContent-Encoding: gzip"
    await exchange.send(raw(head, gzip.compress(b"words")).raw)
    for _ in range(4_000):
        await exchange.send(bytes(100_000))


async def _empty_blocks(exchange: Exchange) -> None:
    """A gzip stream of blocks without content, which never ends and never gives a byte."""
    head = f"HTTP/1.1 200 OK\nContent-Type: {HTML}\nContent-Encoding: gzip"
    await exchange.send(raw(head, gzip.compress(b"")[:10]).raw)
    for _ in range(4_000):
        await exchange.send(b"\0\0\0\xff\xff" * 20_000)


@needs_peak
@pytest.mark.parametrize("play", [_rubbish_after_gzip, _empty_blocks])
def test_bytes_that_give_nothing_are_counted_too(play: Any, host: Host, crawl: Any) -> None:
    host.links("/", "/x", "/last")
    host.links("/last")
    host.routes["/x"] = play
    with growth() as grown:
        found = crawl(host, max_page_bytes=1_000_000)
    assert {"/", "/last"} <= found.kept(host.url)
    assert grown.num_bytes < MOST_GROWTH
    assert found.seconds < 5


@needs_peak
def test_many_links(host: Host, crawl: Any) -> None:
    """50 000 links on one page: queued, and no more of them fetched than there is room for."""
    host.links("/", *(f"/many/{number}" for number in range(50_000)))
    host.otherwise = any_page
    with growth() as grown:
        found = crawl(host, max_pages=50)
    assert len(found.pages) == 50
    assert len(host.paths()) <= 50 + 4
    assert grown.num_bytes < 2 * MOST_GROWTH
    assert found.seconds < 10


@needs_peak
def test_many_pages_of_many_links(host: Host, crawl: Any) -> None:
    """Each of 40 pages names the same 5 000 URLs: what is known already costs little."""
    links = [f"/many/{number}" for number in range(5_000)]
    host.links("/", *links)
    host.otherwise = lambda asked: page(*links, text=words(asked.path))
    with growth() as grown:
        found = crawl(host, max_pages=40)
    assert len(found.pages) == 40
    assert grown.num_bytes < 2 * MOST_GROWTH
    assert found.seconds < 10
