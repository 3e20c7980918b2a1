"""The server's own log proves that delays, connection limits and robots.txt were kept."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from tests.tasks.crawl.hostile.answers import HTML, Answer, answer, any_page, html, page, raw, words
from tests.tasks.crawl.hostile.server import Exchange, Host

_LATE_S = 0.03
"""How late a request may reach the server on a busy machine, which makes the next gap shorter."""


def _gaps(host: Host) -> list[float]:
    """Seconds between the requests to a host, robots.txt and the like included."""
    times = [asked.at for asked in host.log]
    return [later - earlier for earlier, later in pairwise(times)]


async def _takes_time(exchange: Exchange) -> None:
    await asyncio.sleep(0.05)
    body = html(text=words(exchange.asked.path)).encode()
    await exchange.send(raw(f"HTTP/1.1 200 OK\nContent-Type: {HTML}", body).raw)


def _many(host: Host, number: int, *more: str) -> None:
    host.links("/", *(f"/{i}" for i in range(number)), *more)
    host.routes["/robots.txt"] = answer("User-agent: *\nDisallow: /private\n", kind="text/plain")


def test_two_hosts_at_once(host: Host, other_host: Host, crawl: Any) -> None:
    """Each has its delay kept, they do not wait for each other, and robots.txt holds."""
    for each in (host, other_host):
        _many(each, 8, "/private/a")
        each.otherwise = any_page
    found = crawl(host, other_host, delay_s=0.2, connections_per_host=2)
    assert len(found.pages) == 18
    for each in (host, other_host):
        assert min(_gaps(each)) > 0.2 - _LATE_S
        assert sum(_gaps(each)) >= 0.2 * len(_gaps(each)) - _LATE_S
        assert each.asked("/private/a") == []
        assert found.reasons(each.url) == {"/private/a": "robots"}
    both = sorted([(a.at, 1) for a in host.log] + [(a.at, 2) for a in other_host.log])
    turns = sum(first[1] != second[1] for first, second in pairwise(both))
    assert turns > 8  # and not one host after the other
    assert found.seconds < 0.2 * len(host.log) + 1.5


def test_connections_to_a_host(host: Host, other_host: Host, crawl: Any) -> None:
    for each in (host, other_host):
        _many(each, 24)
        each.otherwise = _takes_time
    found = crawl(host, other_host, connections_per_host=3)
    assert len(found.pages) == 50
    for each in (host, other_host):
        assert 2 <= max(asked.under_way for asked in each.log) <= 3


def test_connections_in_all(host: Host, other_host: Host, crawl: Any) -> None:
    now = [0, 0]

    async def counted(exchange: Exchange) -> None:
        now[0] += 1
        now[1] = max(now)
        await _takes_time(exchange)
        now[0] -= 1

    for each in (host, other_host):
        _many(each, 12)
        each.otherwise = counted
    found = crawl(host, other_host, connections_per_host=4, max_connections=5)
    assert len(found.pages) == 26
    assert 3 <= now[1] <= 5


def test_connections_are_kept_open(host: Host, crawl: Any) -> None:
    """Forty pages by a server that allows it take no more connections than may be at once."""
    _many(host, 40)
    host.otherwise = any_page
    found = crawl(host, connections_per_host=2)
    assert len(found.pages) == 41
    assert host.connections <= 4


def test_crawl_delay_of_robots_txt(host: Host, crawl: Any) -> None:
    _many(host, 5)
    host.otherwise = any_page
    rules = "User-agent: *\nCrawl-delay: 0.3\n"
    host.routes["/robots.txt"] = answer(rules, kind="text/plain")
    found = crawl(host, delay_s=0.05)
    assert len(found.pages) == 6
    times = [asked.at for asked in host.asked()]
    assert min(later - earlier for earlier, later in pairwise(times)) > 0.3 - _LATE_S


def test_the_delay_follows_a_slow_host(host: Host, crawl: Any) -> None:
    """A host that takes 50 ms is asked less often than one that answers at once."""
    _many(host, 8)
    host.otherwise = _takes_time
    crawl(host, delay_factor=5.0, connections_per_host=1)
    times = [asked.at for asked in host.asked()]
    last = [later - earlier for earlier, later in pairwise(times)][-3:]
    assert min(last) > 0.12  # the mean of the answers' times comes up slowly


def test_retry_after_is_waited_for(host: Host, crawl: Any) -> None:
    """After 429 nothing at all is asked of that host until the time is over."""
    _many(host, 10)
    answers = iter([answer("", "429 Too Many Requests", Retry_After="1")])
    host.routes["/3"] = lambda asked: next(answers, page(text="words " * 30))
    host.otherwise = any_page
    found = crawl(host, retries=2, connections_per_host=1)
    assert len(found.pages) == 11
    first, second = (asked.at for asked in host.asked("/3"))
    assert second - first > 1.0 - _LATE_S
    assert not [a for a in host.log if first < a.at < first + 1.0 - _LATE_S]


@pytest.mark.parametrize("status", ["503 Service Unavailable", "500 Error", "502 Bad Gateway"])
def test_a_passing_failure_is_outlasted(host: Host, crawl: Any, status: str) -> None:
    answers = iter([answer("", status, Retry_After="0")])
    host.links("/", "/x")
    host.routes["/x"] = lambda asked: next(answers, page())
    found = crawl(host, retries=1)
    assert found.kept(host.url) == {"/", "/x"}
    assert len(host.asked("/x")) == 2


def test_a_failure_that_stays_is_given_up(host: Host, crawl: Any) -> None:
    host.links("/", "/x", "/y")
    host.links("/y")
    host.routes["/x"] = answer("", "503 Service Unavailable", Retry_After="0")
    found = crawl(host, retries=2)
    assert found.kept(host.url) == {"/", "/y"}
    assert found.reasons(host.url) == {"/x": "http_503"}
    assert found.rejects[f"{host.url}/x"].passing
    assert len(host.asked("/x")) == 3


@pytest.mark.parametrize("value", ["soon", "-1", "²", "1e9999", "9" * 400, "Wed, 99 Oct 2026"])
def test_a_retry_after_that_is_none(host: Host, crawl: Any, value: str) -> None:
    """Rubbish is as if there were nothing; a number that is no wait for a crawl ends the tries."""
    host.links("/", "/x")
    host.routes["/x"] = answer("", "503 Service Unavailable", Retry_After=value)
    found = crawl(host, retries=0)
    assert found.reasons(host.url) == {"/x": "http_503"}
    assert found.seconds < 3


def test_cookies_are_not_sent_back(host: Host, crawl: Any) -> None:
    _many(host, 5)
    host.otherwise = page(text="words " * 30, Set_Cookie="session=1; Path=/")
    host.routes["/"] = answer(html("/1", "/2"), Set_Cookie="seen=1; Path=/")
    crawl(host, connections_per_host=1)
    assert len(host.paths()) == 3
    assert not any("cookie" in asked.headers for asked in host.log)


def test_what_a_request_says(host: Host, crawl: Any) -> None:
    host.links("/")
    crawl(host, contact="me@example.org")
    for asked in host.log:
        assert asked.line.endswith(" HTTP/1.1")
        assert "me@example.org" in asked.headers["user-agent"]
        assert asked.headers["user-agent"].startswith("phusa/")
        assert asked.headers["host"] == f"127.0.0.1:{host.port}"
        assert {"authorization", "cookie", "referer"}.isdisjoint(asked.headers)


def test_user_names_are_no_hosts_of_their_own(host: Host, crawl: Any) -> None:
    """`http://name:password@host/` is `http://host/` or nothing, and no password is sent."""
    named = (f"http://name{i}:secret@127.0.0.1:{host.port}/{i % 3}" for i in range(9))
    host.links("/", *named)
    host.otherwise = any_page
    found = crawl(host, include=["."], delay_s=0.1)
    assert {f"{host.url}/"} <= set(found.pages) <= {f"{host.url}/{path}" for path in ("", *"012")}
    assert min(_gaps(host)) > 0.1 - _LATE_S
    assert not any("authorization" in asked.headers for asked in host.log)


def test_connections_that_are_closed_without_a_word(host: Host, crawl: Any) -> None:
    """A server that ends each connection after one answer, and never says that it will."""
    _many(host, 40)
    host.otherwise = lambda asked: Answer(any_page(asked).raw)
    found = crawl(host, connections_per_host=4)
    assert len(found.pages) == 41
    assert found.rejects == {}
    assert sorted(host.paths()) == sorted({"/", *(f"/{number}" for number in range(40))})
