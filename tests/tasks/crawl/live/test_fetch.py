from __future__ import annotations

import asyncio
import gzip
import sqlite3
import time
import tracemalloc
import zlib
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import brotli
import pytest
from backports import zstd

from tasks.crawl.captures import RejectedUrl
from tasks.crawl.live.client import HttpClient
from tasks.crawl.live.fetch import Fetched, Fetcher
from tasks.crawl.sources.web import WebSource

Source = Callable[..., WebSource]


def _client(source: WebSource) -> HttpClient:
    allow_private = source.allow_private_addresses
    return HttpClient(source.user_agent, timeout_s=source.timeout_s, allow_private=allow_private)


def _fetch(source: WebSource, *urls: str) -> list[Fetched | RejectedUrl]:
    async def ask() -> list[Fetched | RejectedUrl]:
        async with _client(source) as client:
            fetcher = Fetcher(client, source, sqlite3.connect(":memory:"))
            return list(await asyncio.gather(*map(fetcher.fetch, urls)))

    return asyncio.run(ask())


def _rejected(source: WebSource, url: str) -> RejectedUrl:
    (result,) = _fetch(source, url)
    assert isinstance(result, RejectedUrl)
    assert result.url == url
    return result


def test_a_page_comes_with_its_headers(site: Any, answer: Any, source: Source) -> None:
    site.routes["/x"] = answer("hello", 200, {"Content-Type": "text/html", "X-Say": "é"})
    (page,) = _fetch(source(site), f"{site.url}/x")
    assert isinstance(page, Fetched)
    assert (page.response.body, page.response.status, page.response.reason) == (b"hello", 200, "OK")
    assert {"Content-Type": "text/html", "X-Say": "é"}.items() <= dict(
        page.response.headers
    ).items()
    assert page.robots == "no robots.txt (404)"


def test_the_user_agent_says_whom_to_write_to(site: Any, source: Source) -> None:
    site.links("/")
    _fetch(source(site, contact="me@example.org"), f"{site.url}/")
    assert [r.path for r in site.log] == ["/robots.txt", "/.well-known/tdmrep.json", "/"]
    assert {r.headers["User-Agent"] for r in site.log} == {"phusa/0.1 (+me@example.org)"}
    assert {r.headers["Accept-Encoding"] for r in site.log} == {"gzip, br, zstd"}


def test_cookies_are_not_kept(site: Any, answer: Any, source: Source) -> None:
    site.routes["/x"] = answer("x", 200, {"Set-Cookie": "session=1; Path=/"})

    async def twice() -> None:
        async with _client(source(site)) as client:
            fetcher = Fetcher(client, source(site), sqlite3.connect(":memory:"))
            await fetcher.fetch(f"{site.url}/x")
            await fetcher.fetch(f"{site.url}/x")

    asyncio.run(twice())
    assert len(site.paths()) == 2
    assert all("Cookie" not in request.headers for request in site.log)


# --- sizes --------------------------------------------------------------------------------------


def test_a_body_of_just_the_limit_is_kept(site: Any, source: Source) -> None:
    site.routes |= {"/fits": "x" * 5_000, "/not": "x" * 5_001}
    limited = source(site, max_page_bytes=5_000)
    fits, not_ = _fetch(limited, f"{site.url}/fits", f"{site.url}/not")
    assert isinstance(fits, Fetched) and len(fits.response.body) == 5_000
    assert isinstance(not_, RejectedUrl)
    assert (not_.reason, not_.threshold, not_.passing) == ("too_large", "5000", False)


def test_an_endless_body_is_left(site: Any, source: Source) -> None:
    sent = []

    def endless(handler: Any) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(10_000):
            handler.wfile.write(b"x" * 10_000)
            sent.append(10_000)

    site.routes["/x"] = endless
    assert _rejected(source(site, max_page_bytes=100_000), f"{site.url}/x").reason == "too_large"
    assert sum(sent) < 50_000_000


def test_a_gzip_bomb_takes_no_memory(site: Any, answer: Any, source: Source) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    assert len(bomb) < 60_000
    site.routes["/x"] = answer(bomb, 200, {"Content-Encoding": "gzip"})
    tracemalloc.start()
    try:
        reject = _rejected(source(site, max_page_bytes=1_000_000), f"{site.url}/x")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert reject.reason == "too_large"
    assert peak < 10_000_000


@pytest.mark.parametrize("encoding", ["gzip, gzip", "compress", "nonsense"])
def test_an_encoding_not_asked_for_is_refused(
    site: Any, answer: Any, source: Source, encoding: str
) -> None:
    body = gzip.compress(gzip.compress(b"x" * 1000))
    site.routes["/x"] = answer(body, 200, {"Content-Encoding": encoding})
    reject = _rejected(source(site), f"{site.url}/x")
    assert reject.reason == "undecodable"
    assert encoding in reject.value


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(b"hello" * 10_000, mtime=0)),
        ("GZIP", gzip.compress(b"hello" * 10_000, mtime=0)),
        ("deflate", zlib.compress(b"hello" * 10_000)),
        ("identity", b"hello" * 10_000),
        ("br", brotli.compress(b"hello" * 10_000)),
        ("zstd", zstd.compress(b"hello" * 10_000)),
        ("deflate", zlib.compress(b"hello" * 10_000)[2:-4]),  # raw, as some servers send it
    ],
)
def test_encoded_bodies_are_decoded(
    site: Any, answer: Any, source: Source, encoding: str, body: bytes
) -> None:
    site.routes["/x"] = answer(body, 200, {"Content-Encoding": encoding})
    (page,) = _fetch(source(site), f"{site.url}/x")
    assert isinstance(page, Fetched) and page.response.body == b"hello" * 10_000


def test_what_is_not_gzip_is_refused(site: Any, answer: Any, source: Source) -> None:
    site.routes["/x"] = answer(b"hello", 200, {"Content-Encoding": "gzip"})
    assert _rejected(source(site), f"{site.url}/x").reason == "undecodable"


# --- failures -----------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before the headers", "within the body"])
def test_a_slow_server_is_timed_out(site: Any, source: Source, when: str) -> None:
    def slow(handler: Any) -> None:
        if when == "before the headers":
            time.sleep(2)
        handler.send_response(200)
        handler.end_headers()
        for _ in range(40):
            handler.wfile.write(b"x")
            time.sleep(0.05)

    site.routes["/x"] = slow
    begun = time.monotonic()
    reject = _rejected(source(site, timeout_s=0.3), f"{site.url}/x")
    assert (reject.reason, reject.threshold, reject.passing) == ("timed_out", "0.3 s", True)
    assert time.monotonic() - begun < 1.9


@pytest.mark.parametrize(
    ("status", "requests", "passing"),
    [
        (404, 1, False),
        (410, 1, False),
        (204, 1, False),
        (500, 3, True),
        (503, 3, True),
        (429, 3, True),
    ],
)
def test_statuses_and_retries(
    site: Any, answer: Any, source: Source, status: int, requests: int, passing: bool
) -> None:
    site.routes["/x"] = answer("", status, {"Retry-After": "0"})
    reject = _rejected(source(site, retries=2), f"{site.url}/x")
    assert (reject.reason, reject.value) == (f"http_{status}", str(status))
    assert reject.passing == passing
    assert len(site.paths()) == requests


def test_a_passing_failure_is_outlasted(site: Any, answer: Any, source: Source) -> None:
    def recovers(handler: Any) -> Any:
        if len(site.paths()) < 3:
            return answer("", 503, {"Retry-After": "0"})
        return answer("at last")

    site.routes["/x"] = recovers
    (page,) = _fetch(source(site, retries=2), f"{site.url}/x")
    assert isinstance(page, Fetched) and page.response.body == b"at last"


@pytest.mark.parametrize("value", ["²", "soon", "-1", "", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_a_retry_after_that_is_no_number(
    site: Any, answer: Any, source: Source, value: str
) -> None:
    site.routes["/x"] = answer("", 503, {"Retry-After": value})
    assert _rejected(source(site, retries=1), f"{site.url}/x").reason == "http_503"
    first, second = (r.at for r in site.log if r.path == "/x")
    assert second - first > 0.4  # our own backoff


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"hello\r\n\r\n",
        b"HTTP/1.1 999999 X\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nBad header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 302 X\r\nLocation: \xff\xfe\r\nContent-Length: 9\r\n\r\n",
    ],
)
def test_answers_that_are_no_http_are_rejects(site: Any, source: Source, raw: bytes) -> None:
    def broken(handler: Any) -> None:
        handler.wfile.write(raw)
        handler.close_connection = True

    site.routes["/x"] = broken
    reject = _rejected(source(site), f"{site.url}/x")
    assert reject.reason in ("unreachable", "truncated") and reject.passing


def test_nobody_there(source: Source, site: Any) -> None:
    site.stop()
    reject = _rejected(source(site), f"{site.url}/x")
    assert (reject.reason, reject.passing) == ("robots", True)
    assert "unreachable" in reject.value


@pytest.mark.parametrize("host", ["a" * 70 + ".localhost", "a..b", "xn--ls8h.invalid"])
@pytest.mark.parametrize("private", [True, False])
def test_hosts_that_are_none_are_rejects(
    site: Any, source: Source, host: str, private: bool
) -> None:
    knobs = {"allow_private_addresses": private, "contact": "me@example.org"}
    reason = _rejected(source(site, **knobs), f"http://{host}/").reason
    assert reason == "robots" or (reason == "private_address" and not private)


# --- politeness ---------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "10.0.0.1"])
def test_private_addresses_are_refused(site: Any, source: Source, host: str) -> None:
    polite = source(site, allow_private_addresses=False, contact="me@example.org")
    reject = _rejected(polite, f"http://{host}:{site.port}/")
    assert (reject.reason, reject.passing) == ("private_address", False)
    assert site.log == []


def test_connections_per_host_are_never_exceeded(site: Any, answer: Any, source: Source) -> None:
    def slow(handler: Any) -> Any:
        time.sleep(0.05)
        return answer("slow")

    site.routes |= {f"/{i}": slow for i in range(12)}
    results = _fetch(source(site, connections_per_host=3), *(f"{site.url}/{i}" for i in range(12)))
    assert all(isinstance(result, Fetched) for result in results)
    assert len(site.paths()) == 12
    assert 2 <= site.peak <= 3


HOSTS = ("/robots.txt", "/.well-known/tdmrep.json")


def _gaps(site: Any) -> list[float]:
    times = sorted(request.at for request in site.log if request.path not in HOSTS)
    return [later - earlier for earlier, later in pairwise(times)]


def test_the_delay_between_requests_is_kept(site: Any, source: Source) -> None:
    site.routes |= {f"/{i}": "x" for i in range(5)}
    _fetch(source(site, delay_s=0.2), *(f"{site.url}/{i}" for i in range(5)))
    assert len(_gaps(site)) == 4
    assert min(_gaps(site)) > 0.1  # one request may reach the server late
    assert sum(_gaps(site)) > 0.75


def test_the_longer_delay_of_robots_txt_is_kept(site: Any, source: Source) -> None:
    site.routes |= {f"/{i}": "x" for i in range(4)}
    site.routes["/robots.txt"] = "User-agent: *\nCrawl-delay: 0.25"
    _fetch(source(site, delay_s=0.01), *(f"{site.url}/{i}" for i in range(4)))
    assert min(_gaps(site)) > 0.12
    assert sum(_gaps(site)) > 0.7


def test_retries_wait_their_turn_too(site: Any, answer: Any, source: Source) -> None:
    site.routes["/x"] = answer("", 503, {"Retry-After": "0"})
    _fetch(source(site, delay_s=0.2, retries=2), f"{site.url}/x")
    assert len(_gaps(site)) == 2
    assert min(_gaps(site)) > 0.1


def test_one_slow_host_holds_no_other_up(site: Any, other_site: Any, source: Source) -> None:
    def slow(handler: Any) -> None:
        time.sleep(1)

    site.routes["/x"] = slow
    other_site.routes |= {f"/{i}": "x" for i in range(5)}
    urls = [f"{site.url}/x", *(f"{other_site.url}/{i}" for i in range(5))]
    _fetch(source(site, connections_per_host=1), *urls)
    begun = next(r.at for r in site.log if r.path == "/x")
    assert max(r.at for r in other_site.log) - begun < 0.9
