from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from storage.errors import SiteUnreachable
from storage.warc import read_body
from tasks.crawl.captures import RejectedUrl
from tasks.crawl.catalogue import DATABASE, Catalogue, FetchedPage
from tasks.crawl.live.crawler import crawl
from tasks.crawl.sources.web import WebSource

Source = Callable[..., WebSource]
WARC_FILE = "pages-00000.warc.gz"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "crawl").mkdir()
    return tmp_path / "crawl"


def _seen(folder: Path) -> tuple[dict[str, FetchedPage], dict[str, RejectedUrl]]:
    """Pages and rejects by path and query."""
    with Catalogue(folder) as catalogue:
        pages, rejects = list(catalogue.pages()), list(catalogue.rejects())
    return {_path(p.url): p for p in pages}, {_path(r.url): r for r in rejects}


def _path(url: str) -> str:
    return "/" + url.split("/", 3)[3]


def _tree(site: Any, num_pages: int = 30) -> None:
    """Page i links to 2i+1, 2i+2 and back to the start."""
    for i in range(num_pages):
        children = [f"/p{c}" for c in (2 * i + 1, 2 * i + 2) if c < num_pages]
        site.links("/" if i == 0 else f"/p{i}", *children, "/", text=f"page {i} " * 20)


# --- a whole site -------------------------------------------------------------------------------


def test_a_small_site(site: Any, answer: Any, source: Source, folder: Path) -> None:
    site.links("/", "a", "b?x=1", "/missing", "picture", "empty", "#top")
    site.links("/a", "/", "/sub/c/")
    site.links("/b?x=1")
    site.links("/sub/c/", "../../a", "d")
    site.links("/sub/c/d")
    site.routes["/picture"] = answer(b"\x89PNG", 200, {"Content-Type": "image/png"})
    site.routes["/empty"] = answer("")
    crawl(source(site), folder)
    pages, rejects = _seen(folder)
    assert {path: page.depth for path, page in pages.items()} == {
        "/": 0,
        "/a": 1,
        "/b?x=1": 1,
        "/sub/c/": 2,
        "/sub/c/d": 3,
    }
    assert {path: (r.reason, r.value) for path, r in rejects.items()} == {
        "/missing": ("http_404", "404"),
        "/picture": ("not_html", "image/png"),
        "/empty": ("empty_body", "0 bytes"),
    }
    assert max(Counter(site.paths()).values()) == 1
    for path, page in pages.items():
        assert (
            read_body(folder / "warc" / WARC_FILE, page.warc_offset).decode() == site.routes[path]
        )
        assert (page.content_type, page.charset, page.status) == ("text/html", "utf-8", 200)


def test_robots_rules_hold_for_links_too(site: Any, source: Source, folder: Path) -> None:
    site.routes["/robots.txt"] = "User-agent: *\nDisallow: /private"
    site.links("/", "/private/a", "/open")
    site.links("/open")
    crawl(source(site), folder)
    pages, rejects = _seen(folder)
    assert set(pages) == {"/", "/open"}
    assert (rejects["/private/a"].reason, rejects["/private/a"].value) == ("robots", "disallowed")
    assert "/private/a" not in site.paths()


@pytest.mark.parametrize("max_pages", [1, 7, 30, 99])
def test_max_pages_are_the_first_in_order_of_discovery(
    site: Any, source: Source, folder: Path, max_pages: int
) -> None:
    _tree(site)
    crawl(source(site, max_pages=max_pages), folder)
    num_pages = min(max_pages, 30)
    assert set(_seen(folder)[0]) == {"/"} | {f"/p{i}" for i in range(1, num_pages)}
    assert len(site.paths()) == num_pages  # and not one fetched in vain


@pytest.mark.parametrize(("max_depth", "num_pages"), [(0, 1), (1, 3), (2, 7), (16, 30)])
def test_max_depth(site: Any, source: Source, folder: Path, max_depth: int, num_pages: int) -> None:
    _tree(site)
    crawl(source(site, max_depth=max_depth), folder)
    pages = _seen(folder)[0]
    assert len(pages) == len(site.paths()) == num_pages
    assert max(page.depth for page in pages.values()) <= max_depth


def test_include_and_exclude(site: Any, other_site: Any, source: Source, folder: Path) -> None:
    site.links("/", "/docs/a", "/blog/a", "/docs/old", f"{other_site.url}/docs/b")
    site.links("/docs/a")
    other_site.links("/docs/b")
    crawl(source(site, include=["/docs/"], exclude=["old$"]), folder)
    assert set(_seen(folder)[0]) == {"/", "/docs/a", "/docs/b"}
    assert site.paths() == ["/", "/docs/a"]


def test_other_hosts_are_left(site: Any, other_site: Any, source: Source, folder: Path) -> None:
    site.links("/", f"{other_site.url}/x", f"http://user:word@127.0.0.1:{site.port}/y")
    site.links("/y")
    crawl(source(site), folder)
    assert set(_seen(folder)[0]) == {"/", "/y"}
    assert not any("Authorization" in request.headers for request in site.log)
    assert other_site.log == []


# --- redirects ----------------------------------------------------------------------------------


def test_a_redirect_is_recorded_and_followed(
    site: Any, answer: Any, source: Source, folder: Path
) -> None:
    site.links("/", "/old")
    site.routes["/old"] = answer("", 301, {"Location": "new?b=1&a=2#part"})
    site.links("/new?a=2&b=1", "/deeper")
    site.links("/deeper")
    crawl(source(site, max_depth=1), folder)
    pages, rejects = _seen(folder)
    assert (rejects["/old"].reason, rejects["/old"].value) == ("redirected", "new?b=1&a=2#part")
    assert {path: page.depth for path, page in pages.items()} == {"/": 0, "/new?a=2&b=1": 1}


def test_a_seed_may_redirect(site: Any, answer: Any, source: Source, folder: Path) -> None:
    site.routes["/"] = answer("", 302, {"Location": "/home"})
    site.links("/home")
    crawl(source(site, max_depth=0), folder)
    assert set(_seen(folder)[0]) == {"/home"}


def test_a_redirect_in_utf8_is_read_so(
    site: Any, answer: Any, source: Source, folder: Path
) -> None:
    site.links("/", "/old")
    site.routes["/old"] = answer("", 301, {"Location": "/caf\xc3\xa9"})
    site.links("/caf%C3%A9")
    crawl(source(site), folder)
    assert set(_seen(folder)[0]) == {"/", "/caf%C3%A9"}


def test_redirect_loops_end(site: Any, answer: Any, source: Source, folder: Path) -> None:
    site.links("/", "/a", "/self", "/endless/0")
    site.routes["/a"] = answer("", 302, {"Location": "/b"})
    site.routes["/b"] = answer("", 302, {"Location": "/a"})
    site.routes["/self"] = answer("", 307, {"Location": "/self"})
    for i in range(50):
        site.routes[f"/endless/{i}"] = answer("", 302, {"Location": f"/endless/{i + 1}"})
    crawl(source(site), folder)
    pages, rejects = _seen(folder)
    assert set(pages) == {"/"}
    assert {"/a", "/b", "/self"} <= set(rejects)
    assert sum(path.startswith("/endless") for path in site.paths()) == 11
    assert max(Counter(site.paths()).values()) == 1


@pytest.mark.parametrize(
    "location",
    ["file:///etc/passwd", "", "http://[bad", "http://h:99999/", "gopher://h/"],
)
def test_a_redirect_to_nowhere_ends_there(
    site: Any, answer: Any, source: Source, folder: Path, location: str
) -> None:
    site.links("/", "/x")
    site.routes["/x"] = answer("", 302, {"Location": location} if location else {})
    crawl(source(site), folder)
    pages, rejects = _seen(folder)
    assert set(pages) == {"/"}
    assert (rejects["/x"].reason, rejects["/x"].value) == ("redirected", location or "no Location")


def test_a_redirect_that_is_no_address_at_all(
    site: Any, answer: Any, source: Source, folder: Path
) -> None:
    site.links("/", "/x")
    site.routes["/x"] = answer("", 302, {"Location": "javascript:x"})
    crawl(source(site, retries=2), folder)
    reject = _seen(folder)[1]["/x"]
    assert (reject.reason, reject.passing) == ("redirected", False)
    assert site.paths().count("/x") == 1


def test_a_redirect_out_of_scope_is_not_fetched(
    site: Any, other_site: Any, answer: Any, source: Source, folder: Path
) -> None:
    site.links("/", "/x")
    site.routes["/x"] = answer("", 302, {"Location": f"{other_site.url}/secret"})
    crawl(source(site), folder)
    assert _seen(folder)[1]["/x"].value == f"{other_site.url}/secret"
    assert other_site.log == []


# --- hostile pages ------------------------------------------------------------------------------


@pytest.mark.parametrize("charset", ["punycode", "rot13", "\x80", "x" * 500, "utf-8; charset=x"])
def test_a_strange_charset_stops_nothing(
    site: Any, answer: Any, source: Source, folder: Path, charset: str
) -> None:
    body = "<a href=/next>x</a>"
    site.routes["/"] = answer(body, 200, {"Content-Type": f"text/html; charset={charset}"})
    site.links("/next")
    crawl(source(site), folder)
    assert set(_seen(folder)[0]) == {"/", "/next"}


def test_strange_headers_stop_nothing(site: Any, answer: Any, source: Source, folder: Path) -> None:
    strange = {"Content-Type": "text/html", "X-One": ";\x80=0", "X-Two": "\xff", "X-Three": '="'}
    site.routes["/"] = answer("<p>x</p>", 200, strange)
    crawl(source(site), folder)
    (page,) = _seen(folder)[0].values()
    assert read_body(folder / "warc" / WARC_FILE, page.warc_offset) == b"<p>x</p>"


# --- sites that die -----------------------------------------------------------------------------


def test_no_page_at_all_is_unreachable(free_port: int, folder: Path) -> None:
    source = WebSource(
        seeds=(f"http://127.0.0.1:{free_port}/",), allow_private_addresses=True, retries=0
    )
    with pytest.raises(SiteUnreachable) as caught:
        crawl(source, folder)
    assert source.seeds[0] in str(caught.value)
    assert "run the same command again" in str(caught.value)


@pytest.mark.parametrize("reason", ["http_404", "robots", "not_html"])
def test_a_site_without_a_page_says_why(
    site: Any, answer: Any, source: Source, folder: Path, reason: str
) -> None:
    if reason == "robots":
        site.routes["/robots.txt"] = "User-agent: *\nDisallow: /"
    elif reason == "not_html":
        site.routes["/"] = answer("x", 200, {"Content-Type": "text/plain"})
    with pytest.raises(SiteUnreachable, match=reason):
        crawl(source(site), folder)


@pytest.mark.parametrize("num_pages", [6, 40])  # fewer and more than the failures that raise
def test_a_site_that_dies_is_noticed_and_the_crawl_goes_on_when_it_is_back(
    site: Any, source: Source, folder: Path, num_pages: int
) -> None:
    _tree(site, num_pages)

    def die(count: int) -> None:
        if count == 5:
            site.stop()

    site.on_request = die
    with pytest.raises(SiteUnreachable, match="the crawl goes on"):
        crawl(source(site, connections_per_host=1), folder)
    before = set(_seen(folder)[0])
    assert 0 < len(before) < num_pages

    with pytest.raises(SiteUnreachable):  # still down: what there is is no whole crawl
        crawl(source(site), folder)
    assert set(_seen(folder)[0]) == before

    site.on_request = lambda count: None
    site.log.clear()
    site.start()
    crawl(source(site), folder)
    pages, rejects = _seen(folder)
    assert set(pages) == {"/"} | {f"/p{i}" for i in range(1, num_pages)}
    assert rejects == {}
    assert not before & set(site.paths())


def test_one_url_that_hangs_up_is_no_dead_site(site: Any, source: Source, folder: Path) -> None:
    site.links("/", *(f"/hang/{i}" for i in range(15)))
    site.routes |= {f"/hang/{i}": (lambda handler: None) for i in range(15)}
    crawl(source(site), folder)
    pages, rejects = _seen(folder)
    assert set(pages) == {"/"}
    assert {r.reason for r in rejects.values()} == {"unreachable"}
    assert len(rejects) == 15


def test_another_host_that_is_dead_stops_nothing(
    site: Any, source: Source, folder: Path, free_port: int
) -> None:
    dead = [f"http://127.0.0.1:{free_port}/{i}" for i in range(12)]
    site.links("/", *dead, "/last")
    site.links("/last")
    crawl(source(site, include=["."]), folder)
    pages, rejects = _seen(folder)
    assert set(pages) == {"/", "/last"}
    assert len(rejects) == 12


def test_a_second_crawl_of_a_finished_folder_fetches_nothing(
    site: Any, source: Source, folder: Path
) -> None:
    _tree(site, 5)
    crawl(source(site), folder)
    pages = _seen(folder)[0]
    site.log.clear()
    crawl(source(site), folder)
    assert site.log == []
    assert _seen(folder)[0] == pages


def test_lost_warc_bytes_are_fetched_again(site: Any, source: Source, folder: Path) -> None:
    _tree(site, 5)
    crawl(source(site), folder)
    last = max(_seen(folder)[0].values(), key=lambda page: page.warc_offset)
    os.truncate(folder / "warc" / WARC_FILE, last.warc_offset + 3)
    site.log.clear()
    crawl(source(site), folder)
    assert site.paths() == [_path(last.url)]
    for path, page in _seen(folder)[0].items():
        assert (
            read_body(folder / "warc" / WARC_FILE, page.warc_offset).decode() == site.routes[path]
        )


# --- kill -9 ------------------------------------------------------------------------------------

CRAWL = """
import sys
from pathlib import Path
from tasks.crawl.live.crawler import crawl
from tasks.crawl.sources.web import WebSource
crawl(WebSource.model_validate_json(sys.argv[1]), Path(sys.argv[2]))
"""


def _crawl_until_killed(site: Any, source: WebSource, folder: Path, count: int) -> None:
    """Crawl in another process and kill it when it asks for the `count`-th time."""
    command = [sys.executable, "-c", CRAWL, source.model_dump_json(), str(folder)]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[4])
    begun = len(site.log)

    def kill(seen: int) -> None:
        if seen - begun == count:
            os.kill(process.pid, signal.SIGKILL)

    site.on_request = kill
    status = process.wait(timeout=60)
    site.on_request = lambda seen: None
    assert status == -9


def test_kills_at_several_moments_change_nothing(site: Any, source: Source, tmp_path: Path) -> None:
    _tree(site, 60)
    knobs = source(site, max_pages=50, connections_per_host=2)
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    unbroken.mkdir()
    broken.mkdir()
    crawl(knobs, unbroken)

    for count in (3, 17, 9):
        committed = set(_seen(broken)[0]) if (broken / DATABASE).exists() else set()
        begun = len(site.log)
        _crawl_until_killed(site, knobs, broken, count)
        assert not committed & {request.path for request in site.log[begun:]}
    committed = set(_seen(broken)[0])
    assert len(committed) >= 10
    begun = len(site.log)
    crawl(knobs, broken)
    assert not committed & {request.path for request in site.log[begun:]}

    one, other = _seen(unbroken), _seen(broken)
    assert {p: (x.page_id, x.depth) for p, x in one[0].items()} == {
        p: (x.page_id, x.depth) for p, x in other[0].items()
    }
    assert one[1] == other[1]
    for path, page in other[0].items():
        assert (
            read_body(broken / "warc" / WARC_FILE, page.warc_offset).decode() == site.routes[path]
        )


TORN = """
import os, signal, sys
from storage.warc import WarcSegment
from tasks.crawl.catalogue import Catalogue
step, count = sys.argv[3], int(sys.argv[4])
target, name = {
    "append": (WarcSegment, "append_member"), "commit": (Catalogue, "_commit_segment")
}[step]
call, calls = getattr(target, name), []
def dying(self, *args):
    calls.append(args)
    if len(calls) < count + (step == "append"):  # whose first is the warcinfo record
        return call(self, *args)
    if step == "append":
        self._file.write(b"half a record")
        self._file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
setattr(target, name, dying)
"""


@pytest.mark.parametrize("step", ["append", "commit"])
def test_kill_between_warc_and_frontier(site: Any, source: Source, folder: Path, step: str) -> None:
    _tree(site, 8)
    command = [sys.executable, "-c", TORN + CRAWL, source(site).model_dump_json(), str(folder)]
    ended = subprocess.run([*command, step, "4"], cwd=Path(__file__).parents[4], check=False)
    assert ended.returncode == -9
    assert len(_seen(folder)[0]) == 3
    crawl(source(site), folder)
    pages = _seen(folder)[0]
    assert len(pages) == 8
    for path, page in pages.items():
        assert (
            read_body(folder / "warc" / WARC_FILE, page.warc_offset).decode() == site.routes[path]
        )
