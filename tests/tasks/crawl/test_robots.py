from __future__ import annotations

import asyncio
import gzip
import time
from typing import Any

import httpx
import pytest

from tasks.crawl.addresses import Addresses
from tasks.crawl.robots import Robots, Verdict


def _verdicts(
    *urls: str, addresses: Addresses | None = None, timeout_s: float = 5.0
) -> list[Verdict]:
    async def ask() -> list[Verdict]:
        async with httpx.AsyncClient() as client:
            agent = "phusa/0.1 (+me@example.org)"
            robots = Robots(client, agent, addresses or Addresses(True), timeout_s)
            return list(await asyncio.gather(*map(robots.verdict, urls)))

    return asyncio.run(ask())


def test_rules_are_kept_and_read_once(site: Any) -> None:
    site.routes["/robots.txt"] = (
        "User-agent: *\nDisallow: /all\nUser-agent: phusa\nDisallow: /private\n"
        "Allow: /private/open\nDisallow: /*.pdf$\nCrawl-delay: 2.5\n"
    )
    paths = ("/", "/all", "/private", "/private/open", "/a.pdf", "/a.pdf?x")
    verdicts = _verdicts(*(site.url + path for path in paths))
    assert [v.allowed for v in verdicts] == [True, True, False, True, False, True]
    assert {v.delay_s for v in verdicts} == {2.5}
    assert [v.reason for v in verdicts[:3]] == ["allowed", "allowed", "disallowed"]
    assert not verdicts[2].passing
    assert [request.path for request in site.log] == ["/robots.txt"]


@pytest.mark.parametrize(
    ("status", "allowed", "passing"),
    [
        (404, True, False),
        (403, True, False),
        (410, True, False),
        (500, False, True),
        (503, False, True),
    ],
)
def test_status_of_robots_txt(
    site: Any, answer: Any, status: int, allowed: bool, passing: bool
) -> None:
    site.routes["/robots.txt"] = answer("User-agent: *\nDisallow: /", status)
    (verdict,) = _verdicts(site.url + "/x")
    assert (verdict.allowed, verdict.passing) == (allowed, passing)
    assert str(status) in verdict.reason


def test_an_unreachable_robots_txt_disallows_for_now(free_port: int) -> None:
    (verdict,) = _verdicts(f"http://127.0.0.1:{free_port}/x")
    assert not verdict.allowed and verdict.passing
    assert "unreachable (ConnectError)" in verdict.reason


def test_a_robots_txt_that_never_ends_disallows(site: Any) -> None:
    def drip(handler: Any) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(40):
            handler.wfile.write(b"# wait\n")
            time.sleep(0.05)

    site.routes["/robots.txt"] = drip
    begun = time.monotonic()
    (verdict,) = _verdicts(site.url + "/x", timeout_s=0.3)
    assert not verdict.allowed and verdict.passing
    assert time.monotonic() - begun < 1.9


def test_only_the_first_500_kib_are_read(site: Any, answer: Any) -> None:
    rule = "User-agent: *\nDisallow: /early\n"
    bomb = gzip.compress((rule + "#" * 20_000_000 + "\nDisallow: /late\n").encode())
    site.routes["/robots.txt"] = answer(bomb, 200, {"Content-Encoding": "gzip"})
    early, late = _verdicts(site.url + "/early", site.url + "/late")
    assert not early.allowed
    assert late.allowed


def test_redirects_are_followed_and_end(site: Any, other_site: Any, answer: Any) -> None:
    site.routes["/robots.txt"] = answer("", 301, {"Location": f"{other_site.url}/robots.txt"})
    other_site.routes["/robots.txt"] = "User-agent: *\nDisallow: /x"
    assert not _verdicts(site.url + "/x")[0].allowed
    site.routes["/robots.txt"] = answer("", 302, {"Location": "/robots.txt"})
    assert not _verdicts(site.url + "/x")[0].allowed
    site.routes["/robots.txt"] = answer("", 302, {"Location": "file:///etc/passwd"})
    assert not _verdicts(site.url + "/x")[0].allowed


def test_a_redirect_to_a_private_address_is_not_followed(
    site: Any, other_site: Any, answer: Any
) -> None:
    class OnlyOneIsPublic(Addresses):
        async def refuses(self, url: str) -> bool:
            return url.startswith(other_site.url)

    site.routes["/robots.txt"] = answer("", 302, {"Location": f"{other_site.url}/secret"})
    (verdict,) = _verdicts(site.url + "/x", addresses=OnlyOneIsPublic(False))
    assert not verdict.allowed
    assert "private" in verdict.reason
    assert other_site.log == []


@pytest.mark.parametrize("delay", ["nan", "inf", "-3", "soon", "1e999"])
def test_a_delay_that_is_none_is_ignored(site: Any, delay: str) -> None:
    site.routes["/robots.txt"] = f"User-agent: *\nCrawl-delay: {delay}"
    (verdict,) = _verdicts(site.url + "/x")
    assert verdict == Verdict(True, "allowed", 0.0)


def test_a_delay_is_an_hour_at_most(site: Any) -> None:
    site.routes["/robots.txt"] = "User-agent: *\nCrawl-delay: 999999999"
    assert _verdicts(site.url + "/x")[0].delay_s == 3600


@pytest.mark.parametrize("body", [b"", b"\xff\xfe\x00", b"<html>", b"Disallow", b"\xef\xbb\xbf: /"])
def test_nonsense_allows(site: Any, answer: Any, body: bytes) -> None:
    site.routes["/robots.txt"] = answer(body)
    assert _verdicts(site.url + "/x")[0].allowed


def test_a_host_that_is_none_disallows() -> None:
    (verdict,) = _verdicts("http://" + "a" * 70 + ".localhost/x")
    assert not verdict.allowed
