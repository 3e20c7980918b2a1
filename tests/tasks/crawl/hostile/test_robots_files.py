"""robots.txt as servers send it, and what a crawl fetches then."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.tasks.crawl.hostile.answers import Answer, answer, any_page, page, redirect
from tests.tasks.crawl.hostile.server import Exchange, Host

_RULE = "User-agent: *\nDisallow: /private\n"
_FILLER = "# a comment that fills the file\n" * 64_000


def _text(body: str | bytes, status: str = "200 OK") -> Answer:
    return answer(body, status, "text/plain")


async def _slow(exchange: Exchange) -> None:
    for value in _text(_RULE).raw:
        await exchange.send(bytes([value]))
        await asyncio.sleep(0.1)


async def _hangs_up(exchange: Exchange) -> None:
    exchange.reset()


_OBEYED = {
    "plain": _text(_RULE),
    "before 2 MB": _text(_RULE + _FILLER),
    "marked as UTF-8": _text("\ufeff" + _RULE),
    "lines ended with CR": _text(_RULE.replace("\n", "\r")),
    "between garbage": _text(b"\xff\xfe\0\x80 : :\n\n" + _RULE.encode() + b"\0\xff: \xf0"),
    "us by name": _text("User-agent: phusa\nDisallow: /private\n\nUser-agent: *\nAllow: /\n"),
    "us by NAME": _text("USER-AGENT: PHUSA\nDISALLOW: /private\n"),
    "us among others": _text("User-agent: otherbot\nUser-agent: phusa\nDisallow: /private\n"),
    "one line of 1 MB before it": _text(f"# {'x' * 400_000}\n{_RULE}"),
    "as HTML": answer(_RULE),
}
_ALLOWING = {
    "404": _text("gone", "404 Not Found"),
    "410": _text("gone", "410 Gone"),
    "403": _text("no", "403 Forbidden"),
    "after 2 MB": _text(_FILLER + _RULE),
    "garbage": _text(bytes(range(256)) * 100),
    "HTML": page(text="Welcome to our site. " * 20),
    "empty": _text(""),
    "others by name": _text("User-agent: otherbot\nDisallow: /\n"),
    "us allowed, all others not": _text(
        "User-agent: *\nDisallow: /\n\nUser-agent: phusa\nAllow: /\n"
    ),
    "redirect in a circle": redirect("/robots.txt"),
}
_FORBIDDING = {
    "500": _text("oops", "500 Internal Server Error"),
    "503": _text("later", "503 Service Unavailable"),
    "all": _text("User-agent: *\nDisallow: /\n"),
    "us by name": _text("User-agent: *\nAllow: /\n\nUser-agent: phusa\nDisallow: /\n"),
    "slow": _slow,
    "hangs up": _hangs_up,
}


def _site(host: Host) -> None:
    host.links("/", "/private/a", "/open")
    host.links("/open")
    host.links("/private/a")


@pytest.mark.parametrize("name", _OBEYED)
def test_rules_that_are_obeyed(name: str, host: Host, crawl: Any) -> None:
    _site(host)
    host.routes["/robots.txt"] = _OBEYED[name]
    found = crawl(host)
    assert found.kept(host.url) == {"/", "/open"}
    assert found.reasons(host.url) == {"/private/a": "robots"}
    assert sorted(host.paths()) == ["/", "/open"]


@pytest.mark.parametrize("name", _ALLOWING)
def test_rules_that_allow_all(name: str, host: Host, crawl: Any) -> None:
    _site(host)
    host.routes["/robots.txt"] = _ALLOWING[name]
    found = crawl(host)
    assert found.kept(host.url) == {"/", "/open", "/private/a"}
    assert found.seconds < 3


@pytest.mark.parametrize("name", _FORBIDDING)
def test_rules_that_forbid_all(name: str, host: Host, other_host: Host, crawl: Any) -> None:
    _site(host)
    other_host.links("/", f"{host.url}/")
    host.routes["/robots.txt"] = _FORBIDDING[name]
    found = crawl(other_host, include=["."], timeout_s=0.7)
    assert found.kept(other_host.url) == {"/"}
    assert found.reasons(host.url) == {"/": "robots"}
    assert host.paths() == []
    passing = found.rejects[f"{host.url}/"].passing
    assert passing == (name in ("500", "503", "slow", "hangs up"))
    assert found.seconds < 3


def test_a_site_that_forbids_all_is_unreachable(host: Host, crawl: Any) -> None:
    _site(host)
    host.routes["/robots.txt"] = _FORBIDDING["all"]
    found = crawl(host)
    assert "robots" in str(found.error)
    assert host.paths() == []


def test_rules_behind_a_redirect(host: Host, other_host: Host, crawl: Any) -> None:
    """They hold for the host that was asked, wherever they lie."""
    _site(host)
    host.routes["/robots.txt"] = redirect(f"{other_host.url}/rules", "301 Moved Permanently")
    other_host.routes["/rules"] = _text(_RULE)
    assert crawl(host).kept(host.url) == {"/", "/open"}


def test_rules_are_asked_for_once_and_first(host: Host, crawl: Any) -> None:
    _site(host)
    host.links("/open", *(f"/open/{number}" for number in range(20)))
    host.otherwise = any_page
    host.routes["/robots.txt"] = _text(_RULE)
    crawl(host)
    assert [asked.path for asked in host.log].count("/robots.txt") == 1
    assert host.log[0].path == "/robots.txt"


def test_a_sitemap_is_read(host: Host, crawl: Any) -> None:
    """A page that nothing links to but the sitemap that robots.txt names."""
    _site(host)
    host.links("/alone")
    host.routes["/robots.txt"] = _text(f"{_RULE}Sitemap: {host.url}/map.xml\n")
    urls = "".join(f"<url><loc>{host.url}{path}</loc></url>" for path in ("/alone", "/private/b"))
    sitemap = f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{urls}</urlset>'
    host.routes["/map.xml"] = answer(sitemap, kind="application/xml")
    found = crawl(host)
    assert found.kept(host.url) == {"/", "/open", "/alone"}
    assert found.reasons(host.url)["/private/b"] == "robots"
    assert host.asked("/private/b") == []


@pytest.mark.parametrize(
    "sitemap",
    [b"", b"\0\xff", b"<urlset><url><loc>", b"<html>", b"\x1f\x8bno gzip", b"<a/>" * 10_000],
)
def test_a_sitemap_that_is_none_stops_nothing(host: Host, crawl: Any, sitemap: bytes) -> None:
    _site(host)
    host.routes["/robots.txt"] = _text(f"{_RULE}Sitemap: {host.url}/map.xml\n")
    host.routes["/map.xml"] = answer(sitemap, kind="application/xml")
    assert crawl(host).kept(host.url) == {"/", "/open"}


def test_a_sitemap_of_itself_ends(host: Host, crawl: Any) -> None:
    _site(host)
    host.routes["/robots.txt"] = _text(f"{_RULE}Sitemap: {host.url}/map.xml\n")
    entry = f"<sitemap><loc>{host.url}/map.xml</loc></sitemap>"
    index = (
        f'<sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{entry}</sitemapindex>'
    )
    host.routes["/map.xml"] = answer(index, kind="application/xml")
    assert crawl(host).kept(host.url) == {"/", "/open"}
    assert len(host.asked("/map.xml")) == 1
