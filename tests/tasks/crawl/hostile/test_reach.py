"""What a crawl must not reach: its own network, files, servers that nobody vouches for."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from tasks.crawl.live import client
from tests.tasks.crawl.hostile.answers import page, redirect
from tests.tasks.crawl.hostile.server import Host, HostileServer

_PUBLIC = "127.0.0.1"
"""Taken for a public address by the tests below."""


@pytest.fixture
def guarded(crawl: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A crawl that may ask 127.0.0.1 and no other private address, and follows links anywhere."""
    is_private = client.is_private
    monkeypatch.setattr(
        client, "is_private", lambda address: address != _PUBLIC and is_private(address)
    )

    def run(*hosts: Host) -> Any:
        knobs = {"allow_private_addresses": False, "contact": "me@example.org"}
        return crawl(*hosts, include=["."], **knobs)

    return run


@pytest.fixture
def secret(server: HostileServer) -> Host:
    """A host of the crawl's own network."""
    host = server.host("127.0.0.2")
    host.otherwise = page(text="secret")
    return host


def _names(secret: Host) -> list[str]:
    """Spellings of the secret host's address."""
    port = secret.port
    return [
        f"http://127.0.0.2:{port}/x",
        f"http://127.2:{port}/x",
        f"http://2130706434:{port}/x",
        f"http://0x7f000002:{port}/x",
        f"http://0177.0.0.2:{port}/x",
        f"http://[::ffff:127.0.0.2]:{port}/x",
        f"http://127.0.0.2.:{port}/x",
        f"http://①②⑦.0.0.2:{port}/x",
        f"http://localhost:{port}/x",
    ]


def test_links_to_private_addresses(host: Host, secret: Host, guarded: Any) -> None:
    host.links("/", *_names(secret), "/last")
    host.links("/last")
    found = guarded(host)
    assert set(found.pages) == {f"{host.url}/", f"{host.url}/last"}
    assert secret.connections == 0
    reason = found.rejects[f"{secret.url}/x"].reason
    assert reason == "private_address"


def test_redirects_to_private_addresses(host: Host, secret: Host, guarded: Any) -> None:
    targets = _names(secret)
    host.links("/", *(f"/{number}" for number in range(len(targets))))
    for number, target in enumerate(targets):
        host.routes[f"/{number}"] = redirect(target.encode().decode("latin-1"))
    found = guarded(host)
    assert set(found.pages) == {f"{host.url}/"}
    assert secret.connections == 0
    assert set(found.reasons(host.url).values()) == {"redirected"}
    assert found.rejects[f"{secret.url}/x"].reason == "private_address"


def test_robots_txt_at_a_private_address(host: Host, secret: Host, guarded: Any) -> None:
    host.links("/")
    host.routes["/robots.txt"] = redirect(f"{secret.url}/robots.txt")
    found = guarded(host)
    assert found.error is not None
    assert secret.connections == 0
    assert host.paths() == []


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "127.1"])
def test_seeds_at_private_addresses(host: Host, crawl: Any, address: str) -> None:
    seeds = (f"http://{address}:{host.port}/",)
    found = crawl(seeds=seeds, allow_private_addresses=False, contact="me@example.org")
    assert found.error is not None
    assert host.connections == 0
    assert {reject.reason for reject in found.rejects.values()} == {"private_address"}


def test_a_certificate_that_nobody_vouches_for(
    host: Host, server: HostileServer, certificate: ssl.SSLContext, crawl: Any
) -> None:
    secure = server.host(tls=certificate)
    secure.otherwise = page(text="secret")
    host.links("/", f"{secure.url}/x")
    found = crawl(host, include=["."])
    assert set(found.pages) == {f"{host.url}/"}
    reject = found.rejects[f"{secure.url}/x"]
    assert reject.reason == "tls" or "tls" in reject.value
    assert secure.log == []


def test_a_certificate_that_is_vouched_for(
    server: HostileServer,
    certificate: ssl.SSLContext,
    tmp_path: Path,
    crawl: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By this machine's own list; for the names that it was made out to, and no others."""
    secure = server.host(tls=certificate)
    other_name = f"https://localhost:{secure.port}/x"
    secure.links("/", "/x", other_name)
    secure.links("/x")
    authorities = tmp_path / "authorities.pem"
    authorities.write_text(ssl.get_server_certificate(("127.0.0.1", secure.port)))
    monkeypatch.setenv("SSL_CERT_FILE", str(authorities))
    found = crawl(secure, include=["."])
    assert set(found.pages) == {f"{secure.url}/", f"{secure.url}/x"}
    reject = found.rejects[other_name]
    assert reject.reason == "tls" or "tls" in reject.value


def test_a_proxy_of_the_environment_is_not_used(
    host: Host, other_host: Host, crawl: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would resolve names and open connections that nobody has judged."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, other_host.url)
    monkeypatch.setenv("no_proxy", "")
    host.links("/")
    assert crawl(host).kept(host.url) == {"/"}
    assert other_host.connections == 0


def test_https_of_a_server_that_speaks_none(host: Host, crawl: Any) -> None:
    """It waits for the rest of a request that is none, and says nothing."""
    host.links("/", f"https://127.0.0.1:{host.port}/x")
    found = crawl(host, include=["."], timeout_s=0.7)
    (reject,) = found.rejects.values()
    assert reject.reason in ("tls", "timed_out") or "timed_out" in reject.value
