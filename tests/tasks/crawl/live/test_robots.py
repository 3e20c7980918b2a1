from __future__ import annotations

import asyncio
import gzip
import sqlite3
import time
from typing import Any

import pytest

from tasks.crawl.live import robots
from tasks.crawl.live.client import Failure, HttpClient, Response
from tasks.crawl.live.robots import MAX_BYTES, Robots, Rules, Unreachable

AGENT = "phusa/0.1 (+me@example.org)"


def _rules(
    *urls: str,
    allow_private: bool = True,
    timeout_s: float = 5.0,
    db: sqlite3.Connection | None = None,
    tdmrep: bool = False,
) -> list[Rules | Unreachable]:
    async def ask_all() -> list[Rules | Unreachable]:
        client = HttpClient(AGENT, timeout_s=timeout_s, allow_private=allow_private)
        async with client:

            async def ask(url: str) -> Response | Failure:
                return await client.get(url, MAX_BYTES, cut=True)

            known = Robots(AGENT, db or sqlite3.connect(":memory:"), tdmrep=tdmrep)
            return list(
                await asyncio.gather(*(known.rules(url, ask, lambda _: None) for url in urls))
            )

    return asyncio.run(ask_all())


def _verdicts(*urls: str, **how: Any) -> list[robots.Verdict]:
    return [rules.verdict(url) for url, rules in zip(urls, _rules(*urls, **how), strict=True)]


def test_rules_are_kept_and_read_once(site: Any) -> None:
    site.routes["/robots.txt"] = (
        "User-agent: *\nDisallow: /all\nUser-agent: phusa\nDisallow: /private\n"
        "Allow: /private/open\nDisallow: /*.pdf$\nCrawl-delay: 2.5\n"
    )
    paths = ("/", "/all", "/private", "/private/open", "/a.pdf", "/a.pdf?x")
    verdicts = _verdicts(*(site.url + path for path in paths))
    assert [v.allowed for v in verdicts] == [True, True, False, True, False, True]
    assert _rules(site.url)[0].delay_s == 2.5
    del site.log[1:]
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
    assert "unreachable (unreachable: Failed to connect" in verdict.reason


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
    site.log.clear()
    for nowhere in ("/robots.txt", "file:///etc/passwd"):  # as if there were none, says RFC 9309
        site.routes["/robots.txt"] = answer("", 302, {"Location": nowhere})
        assert _verdicts(site.url + "/x")[0].allowed
    assert len(site.log) == 6 + 1


def test_a_redirect_to_a_private_address_is_not_followed(
    site: Any, other_site: Any, answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = iter([False, True])  # the first that is connected to is public, the second is not
    monkeypatch.setattr("tasks.crawl.live.client.is_private", lambda _: next(found))
    site.routes["/robots.txt"] = answer("", 302, {"Location": f"{other_site.url}/secret"})
    (verdict,) = _verdicts(site.url + "/x", allow_private=False)
    assert not verdict.allowed and not verdict.passing
    assert "private" in verdict.reason
    assert other_site.log == []


def test_what_a_host_said_is_kept_for_a_day_and_over_restarts(
    site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.routes["/robots.txt"] = "User-agent: *\nDisallow: /x"
    db = sqlite3.connect(":memory:", isolation_level=None)
    assert not _verdicts(site.url + "/x", db=db)[0].allowed
    assert not _verdicts(site.url + "/x", db=db)[0].allowed
    assert len(site.log) == 1
    later = time.time() + robots.MAX_AGE_S + 60
    monkeypatch.setattr(robots, "time", lambda: later)
    site.routes["/robots.txt"] = "User-agent: *\nDisallow: /y"
    assert _verdicts(site.url + "/x", db=db)[0].allowed
    assert len(site.log) == 2
    site.stop()
    later += robots.MAX_AGE_S + 60
    assert not _verdicts(site.url + "/y", db=db)[0].allowed  # what it said before still holds


def test_sitemaps_and_reservations_are_read_too(site: Any, answer: Any) -> None:
    site.routes["/robots.txt"] = "Sitemap: https://example.org/map.xml\nSitemap: /other.xml"
    policy = '[{"location": "/shut/*", "tdm-reservation": 1}]'
    site.routes["/.well-known/tdmrep.json"] = answer(policy, 200, {})
    (rules,) = _rules(site.url, tdmrep=True)
    assert rules.sitemaps == ("https://example.org/map.xml", "/other.xml")
    shut, open_ = (rules.policy.reservation(path) for path in ("/shut/x", "/open"))
    assert shut is not None and shut.reserved
    assert open_ is None or not open_.reserved


@pytest.mark.parametrize("delay", ["nan", "inf", "-3", "soon", "1e999"])
def test_a_delay_that_is_none_is_ignored(site: Any, delay: str) -> None:
    site.routes["/robots.txt"] = f"User-agent: *\nCrawl-delay: {delay}"
    (rules,) = _rules(site.url)
    assert rules.delay_s == 0.0 and rules.verdict(site.url + "/x").allowed


def test_a_delay_is_an_hour_at_most(site: Any) -> None:
    site.routes["/robots.txt"] = "User-agent: *\nCrawl-delay: 999999999"
    assert _rules(site.url)[0].delay_s == 3600


@pytest.mark.parametrize("body", [b"", b"\xff\xfe\x00", b"<html>", b"Disallow", b"\xef\xbb\xbf: /"])
def test_nonsense_allows(site: Any, answer: Any, body: bytes) -> None:
    site.routes["/robots.txt"] = answer(body)
    assert _verdicts(site.url + "/x")[0].allowed


def test_a_host_that_is_none_disallows() -> None:
    (verdict,) = _verdicts("http://" + "a" * 70 + ".localhost/x")
    assert not verdict.allowed
