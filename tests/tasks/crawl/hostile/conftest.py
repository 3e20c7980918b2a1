from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tasks.crawl.hostile.certificate import self_signed
from tests.tasks.crawl.hostile.outcome import Outcome, crawled
from tests.tasks.crawl.hostile.server import Host, HostileServer
from tests.tasks.crawl.knobs import web_source

Crawl = Callable[..., Outcome]


@pytest.fixture(scope="package")
def server() -> Iterator[HostileServer]:
    with HostileServer() as server:
        yield server


@pytest.fixture
def host(server: HostileServer) -> Host:
    """A website of this test's own, without robots.txt and without pages."""
    return server.host()


@pytest.fixture
def other_host(server: HostileServer) -> Host:
    return server.host()


@pytest.fixture(scope="package")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A server's context with a certificate for 127.0.0.1 that nobody vouches for."""
    return self_signed(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def crawl(tmp_path: Path) -> Crawl:
    """Crawls hosts from their first pages: `crawl(host, other, knob=…)`, or from `seeds`."""

    def run(*hosts: Host, seeds: tuple[str, ...] = (), **knobs: Any) -> Outcome:
        urls = seeds or tuple(f"{host.url}/" for host in hosts)
        return crawled(web_source(*urls, **knobs), tmp_path / "crawl")

    return run
