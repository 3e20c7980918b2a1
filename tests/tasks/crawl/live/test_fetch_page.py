"""One page, asked for by all the rules of a crawl."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tasks.crawl.captures import Capture, RejectedUrl
from tasks.crawl.live.processing import fetch_page
from tasks.crawl.sources.web import WebSource

Source = Callable[..., WebSource]


def test_a_page_comes_as_a_crawl_keeps_it(site: Any, answer: Any, source: Source) -> None:
    headers = {"Content-Type": "application/xhtml+xml; charset=iso-8859-2"}
    site.routes["/a"] = answer(b"<p>\xb3</p>", 200, headers)
    page = fetch_page(source(site), f"{site.url}/./a#part")
    assert isinstance(page, Capture)
    assert (page.url, page.body) == (f"{site.url}/a", b"<p>\xb3</p>")
    assert (page.content_type, page.charset) == ("application/xhtml+xml", "iso-8859-2")
    assert site.log[0].path == "/robots.txt"


def test_redirects_are_followed_to_any_host(
    site: Any, other_site: Any, answer: Any, source: Source
) -> None:
    site.routes["/old"] = answer("", 301, {"Location": "new"})
    site.routes["/new"] = answer("", 302, {"Location": f"{other_site.url}/there"})
    other_site.links("/there")
    page = fetch_page(source(site), f"{site.url}/old")
    assert isinstance(page, Capture) and page.url == f"{other_site.url}/there"


def test_redirects_that_lead_nowhere_end(site: Any, answer: Any, source: Source) -> None:
    site.routes["/loop"] = answer("", 301, {"Location": "/loop"})
    found = fetch_page(source(site), f"{site.url}/loop")
    assert isinstance(found, RejectedUrl)
    assert (found.reason, found.value) == ("redirected", "over 10 times in a row")
    site.routes["/file"] = answer("", 301, {"Location": "file:///etc/passwd"})
    found = fetch_page(source(site), f"{site.url}/file")
    assert isinstance(found, RejectedUrl) and found.value == "file:///etc/passwd"


def test_what_a_site_forbids_is_not_read(site: Any, answer: Any, source: Source) -> None:
    site.routes["/robots.txt"] = answer("User-agent: *\nDisallow: /no", 200, {})
    site.links("/no")
    site.routes["/meta"] = '<meta name="robots" content="noai"><p>x</p>'
    found = [fetch_page(source(site), f"{site.url}{path}") for path in ("/no", "/meta")]
    assert [getattr(one, "reason", "") for one in found] == ["robots", "policy"]
    assert "/no" not in site.paths()


@pytest.mark.parametrize(
    ("kind", "body", "reason"),
    [
        ("image/png", b"x", "not_html"),
        ("text/html", b"", "empty_body"),
        ("text/xml", b"<rss/>", "not_html"),
    ],
)
def test_what_is_no_page_is_a_reject(
    kind: str, body: bytes, reason: str, site: Any, answer: Any, source: Source
) -> None:
    site.routes["/x"] = answer(body, 200, {"Content-Type": kind})
    found = fetch_page(source(site), f"{site.url}/x")
    assert isinstance(found, RejectedUrl) and found.reason == reason


def test_what_is_no_url_is_refused(site: Any, source: Source) -> None:
    with pytest.raises(ValueError, match="expected http"):
        fetch_page(source(site), "ftp://a.example/")
