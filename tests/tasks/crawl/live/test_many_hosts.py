"""Hosts side by side: each with its own queue, pace and budget, and none in the way of another."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from storage.warc import read_body
from tasks.crawl.catalogue import Catalogue
from tasks.crawl.index import host_rows
from tasks.crawl.live import crawler
from tasks.crawl.live.crawler import crawl
from tasks.crawl.live.frontier import Kind, Queued, State
from tasks.crawl.live.lane import Lane
from tasks.crawl.live.processing import Links, Outcome
from tasks.crawl.sources.web import WebSource
from tests.tasks.crawl.conftest import Site

Source = Callable[..., WebSource]
NUM_HOSTS = 6


@pytest.fixture
def hosts() -> Iterator[list[Site]]:
    sites = [Site() for _ in range(NUM_HOSTS)]
    for site in sites:
        site.links("/", *(f"/p{i}" for i in range(8)), *(f"{other.url}/" for other in sites))
        for i in range(8):
            site.links(f"/p{i}", text=f"page {i}")
    yield sites
    for site in sites:
        site.stop()


def _kept(folder: Path) -> dict[str, int]:
    """Pages by host."""
    with Catalogue(folder) as catalogue:
        return {row["host"]: row["pages"] for row in host_rows(catalogue, catalogue.pages())}


def test_links_lead_from_host_to_host_within_domains(
    hosts: list[Site], source: Source, tmp_path: Path
) -> None:
    crawl(source(hosts[0], domains=["127.0.0.1"]), tmp_path)
    assert _kept(tmp_path) == {site.url.removeprefix("http://"): 9 for site in hosts}


def test_a_budget_for_each_host(hosts: list[Site], source: Source, tmp_path: Path) -> None:
    crawl(source(hosts[0], domains=["127.0.0.1"], max_pages_per_host=3), tmp_path)
    assert set(_kept(tmp_path).values()) == {3}
    assert all(len(site.paths()) == 3 for site in hosts)
    with Catalogue(tmp_path) as catalogue:
        rows = host_rows(catalogue, catalogue.pages())
    assert {row["waiting"] for row in rows} == {6}  # and it says what was left


def test_a_budget_for_all(hosts: list[Site], source: Source, tmp_path: Path) -> None:
    crawl(source(hosts[0], domains=["127.0.0.1"], max_pages=20), tmp_path)
    assert sum(_kept(tmp_path).values()) == 20 == sum(len(site.paths()) for site in hosts)


@pytest.mark.parametrize("knob", ["max_bytes", "max_bytes_per_host"])
def test_a_budget_of_bytes(site: Any, source: Source, tmp_path: Path, knob: str) -> None:
    site.links("/", *(f"/p{i}" for i in range(20)), text="x" * 1000)
    for i in range(20):
        site.links(f"/p{i}", text="x" * 1000)
    crawl(source(site, connections_per_host=1, **{knob: 4_500}), tmp_path)
    with Catalogue(tmp_path) as catalogue:
        assert 4_500 <= catalogue.num_bytes < 4_500 + 2_000  # what was under way is kept
        num_pages = catalogue.num_pages
    assert len(site.paths()) == num_pages < 21


def test_a_slow_host_holds_no_other_up(hosts: list[Site], source: Source, tmp_path: Path) -> None:
    def slow(handler: Any) -> str:
        time.sleep(0.25)
        return "slow"

    hosts[0].routes |= {f"/p{i}": slow for i in range(8)}
    begun = time.monotonic()
    crawl(source(hosts[0], domains=["127.0.0.1"], connections_per_host=1), tmp_path)
    assert time.monotonic() - begun > 2
    for site in hosts[1:]:
        assert max(request.at for request in site.log) - begun < 1.5


def test_more_hosts_than_lanes_all_get_their_turn(
    hosts: list[Site], source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crawler, "_MAX_LANES", 2)
    monkeypatch.setattr(crawler, "_TURN", 3)
    crawl(source(hosts[0], domains=["127.0.0.1"]), tmp_path)
    assert set(_kept(tmp_path).values()) == {9} and len(_kept(tmp_path)) == NUM_HOSTS


def test_segments_are_cut_at_their_size(
    hosts: list[Site], source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.crawl.catalogue.SEGMENT_BYTES", 2_000)
    crawl(source(hosts[0]), tmp_path)
    with Catalogue(tmp_path) as catalogue:
        assert len(catalogue.segments()) > 1
        for page in catalogue.pages():
            assert read_body(tmp_path / "warc" / page.warc_file, page.warc_offset)


def test_a_lane_settles_in_order_whatever_arrives_first() -> None:
    urls = [Queued(seq, f"http://h/{seq}", 0) for seq in range(1, 9)]
    arrived: list[int] = []
    settled: list[int] = []

    async def fetch(queued: Queued, is_next: Callable[[], bool]) -> Outcome:
        await asyncio.sleep(0.01 * (9 - queued.seq))
        arrived.append(queued.seq)
        return Outcome(queued, Links())

    async def settle(outcomes: Sequence[Outcome]) -> None:
        settled.extend(outcome.queued.seq for outcome in outcomes)

    class Open:
        window = 32

        def take(self, host: int) -> bool:
            return True

        def arrived(self, host: int, new_bytes: int | None) -> None: ...

    def after(host: int, seq: int, limit: int) -> list[Queued]:
        return [queued for queued in urls if queued.seq > seq][:limit]

    asyncio.run(Lane(1, after, fetch, settle, Open()).run(lambda _: True))
    assert settled == list(range(1, 9)) and arrived == list(range(8, 0, -1))
    assert urls[0].kind is Kind.PAGE and urls[0].state is State.WAITING
