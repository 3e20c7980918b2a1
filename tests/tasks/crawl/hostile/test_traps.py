"""Websites without end: each is left after a bounded number of requests, its good pages kept."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest

from tests.tasks.crawl.hostile.answers import NOT_FOUND, Answer, any_page, page, redirect, words
from tests.tasks.crawl.hostile.server import Asked, Host

_MOST = 30
"""URLs of one pattern that the crawls below allow."""
_KNOBS = {"max_depth": 1000, "max_pages": 2_000, "max_urls_per_pattern": _MOST}


def _calendar(asked: Asked) -> Answer:
    year, month = map(int, re.findall(r"\d+", asked.path)[:2])
    number = 12 * year + month - 1
    links = (f"/calendar?month={n // 12}-{n % 12 + 1:02d}" for n in (number - 1, number + 1))
    return page(*links, "/", text=words(asked.path))


def _deeper(asked: Asked) -> Answer:
    """A relative link that was written for another folder."""
    return page("a/", "/", text=words(asked.path))


def _turning(asked: Asked) -> Answer:
    """Four folders, each of which has all four in it."""
    return page("news/", "images/", "about/", "help/", text=words(asked.path))


def _counting(asked: Asked) -> Answer:
    number = int(asked.path.partition("=")[2])
    return page(f"/list?page={number + 1}", text=words(asked.path))


def _growing(asked: Asked) -> Answer:
    """Every link adds a parameter to the address."""
    number = asked.path.count("=")
    return page(f"{asked.path}&f{number}=1", f"{asked.path}&g{number}=2", text=words(asked.path))


def _next_hop(asked: Asked) -> Answer:
    return redirect(f"/hop?n={int(asked.path.partition('=')[2]) + 1}")


@pytest.mark.parametrize(
    ("first", "endless", "most"),
    [
        ("/calendar?month=2031-05", _calendar, _MOST),
        ("/a/", _deeper, 20),
        ("/news/", _turning, 64 + 15 * _MOST),
        ("/list?page=1", _counting, _MOST + 4),
        ("/find?q=1", _growing, 6 * _MOST),
        ("/hop?n=1", _next_hop, 30),
    ],
)
def test_an_endless_site_is_left(
    host: Host, crawl: Any, first: str, endless: Any, most: int
) -> None:
    good = [f"/good/{number}" for number in range(5)]
    host.links("/", first, *good, "/gate")
    host.links("/gate", "/after")
    for path in (*good, "/after"):
        host.routes[path] = page(text=words(path))

    def answer(asked: Asked) -> Answer:
        try:
            return endless(asked)
        except ValueError:  # none of its paths
            return NOT_FOUND

    host.otherwise = answer
    found = crawl(host, **_KNOBS)
    assert {"/", "/gate", "/after", *good} <= found.kept(host.url)
    trapped = [path for path in host.paths() if path not in host.routes]
    assert len(trapped) <= most
    assert len(set(trapped)) == len(trapped)
    reasons = set(found.reasons(host.url).values())
    assert reasons == ({"redirected"} if endless is _next_hop else {"trap"})


@pytest.mark.parametrize("style", ["?PHPSESSID={}", "?sid={}", ";jsessionid={}", "?p=1&s={}"])
def test_session_ids(host: Host, crawl: Any, style: str) -> None:
    """Twenty pages, and a new session id in every link to them."""
    chance = random.Random(style)

    def serve(asked: Asked) -> Answer:
        bare = re.split("[?;]", asked.path)[0]
        if not re.fullmatch(r"/p\d+", bare):
            return NOT_FOUND
        number = int(bare.removeprefix("/p"))
        links = (
            f"/p{n % 20}{style.format(f'{chance.getrandbits(128):032x}')}"
            for n in (number + 1, 2 * number, number * 3)
        )
        return page(*links, text=words(bare))

    host.links("/", "/p0", "/p1")
    host.otherwise = serve
    found = crawl(host, **_KNOBS)
    assert {path.split("?")[0].split(";")[0] for path in found.kept(host.url)} >= {"/", "/p1"}
    assert len(host.paths()) <= 2 * _MOST


def test_twins_are_fetched_once(host: Host, crawl: Any) -> None:
    """One page has many spellings."""
    host.links(
        "/",
        "/caf%C3%A9",
        "/caf%c3%a9",
        "/café",
        "/./café",
        "/x/../caf%C3%A9",
        "/%63af%C3%A9",
        "/caf%C3%A9#part",
        f"{host.url.replace('http', 'HTTP')}/caf%C3%A9",
        " /caf%C3%A9\n",
        "/%7Euser",
        "/~user",
        "/q?b=2&a=1",
        "/q?a=1&b=2&",
        "/q?a=1&b=2&utm_source=x",
    )
    host.otherwise = any_page
    found = crawl(host)
    assert sorted(host.paths()) == ["/", "/caf%C3%A9", "/q?a=1&b=2", "/~user"]
    assert found.kept(host.url) == set(host.paths())


def test_soft_404(host: Host, crawl: Any) -> None:
    """A site that answers 200 and the same words to whatever it does not know."""
    good = [f"/good/{number}" for number in range(10)]
    missing = [f"/missing/{number}" for number in range(10)]
    host.links("/", *good, *missing)
    for path in good:
        host.routes[path] = page("/", text=words(path))

    def sorry(asked: Asked) -> Answer:
        said = f"Sorry, there is no page {asked.path} here. {'Try our menu. ' * 30}"
        return page("/", *good, text=said, head="<title>Not found</title>")

    host.otherwise = sorry
    found = crawl(host)
    assert found.kept(host.url) == {"/", *good}
    assert found.reasons(host.url) == dict.fromkeys(missing, "soft_404")


def test_a_site_of_pages_that_are_alike_is_no_soft_404(host: Host, crawl: Any) -> None:
    """A catalogue: one template, a few words of its own on each page, and true 404 answers."""
    template = "Delivered in two days. Returned within thirty. Paid as you like. " * 20
    goods = [f"/goods/{number}" for number in range(20)]
    host.links("/", *goods)
    for path in goods:
        host.routes[path] = page("/", text=f"{words(path)[:40]} {template}")
    found = crawl(host)
    assert found.kept(host.url) == {"/", *goods}
    assert found.rejects == {}
