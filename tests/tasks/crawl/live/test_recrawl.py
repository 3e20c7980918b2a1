"""A crawl that knows the one before it: one cheap request for a page that did not change."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType

from storage.manifest import content_digest
from storage.parquet import read_table
from storage.takedown import Forgotten, Takedown, identify
from storage.workspace import Workspace
from tasks.crawl.catalogue import Catalogue, FetchedPage
from tasks.crawl.index import write_index
from tasks.crawl.live.crawler import crawl
from tasks.crawl.previous_crawl import PreviousCrawl, change_probability
from tasks.crawl.sources.web import WebSource

Source = Callable[..., WebSource]
NUM_PAGES = 12
DAY_MS = 86_400_000


class Versioned:
    """A site that answers conditions as servers do."""

    def __init__(self, site: Any, answer: Any) -> None:
        self._site, self._answer = site, answer
        self.texts = {f"/p{i}": f"page {i}" for i in range(NUM_PAGES)}
        self.headers: dict[str, str] = {}
        self.by_etag = True
        self.bodies_sent: list[str] = []
        links = "".join(f"<a href={path}>x</a>" for path in self.texts)
        self.texts["/"] = f"start {links}"
        for path in self.texts:
            site.routes[path] = self._serve

    def _serve(self, handler: Any) -> Any:
        body = self.texts[handler.path]
        tag = f'"{hashlib.sha256(body.encode()).hexdigest()[:8]}"'
        headers = {"Content-Type": "text/html"} | self.headers
        if self.by_etag:
            headers["ETag"] = tag
            if handler.headers.get("If-None-Match") == tag:
                return self._answer("", 304, headers)
        self.bodies_sent.append(handler.path)
        return self._answer(body, 200, headers)


@pytest.fixture
def versioned(site: Any, answer: Any) -> Versioned:
    return Versioned(site, answer)


def _crawled(
    source: WebSource, root: Path, earlier: Workspace | None = None, **how: Any
) -> Workspace:
    workspace = Workspace(root)
    crawl(
        source, workspace.scratch, earlier=None if earlier is None else _as_earlier(earlier), **how
    )
    write_index(workspace, 2)
    return workspace


def _as_earlier(workspace: Workspace) -> PreviousCrawl:
    def files(table: str) -> list[Path]:
        return sorted((workspace.data / table).glob("*.parquet"))

    return PreviousCrawl("crawl@1", files("pages"), files("fetches"), workspace.data / "warc")


def _pages(workspace: Workspace) -> dict[str, FetchedPage]:
    with Catalogue(workspace.scratch) as catalogue:
        return {"/" + page.url.split("/", 3)[3]: page for page in catalogue.pages()}


def _records(workspace: Workspace) -> list[tuple[str, str]]:
    """Type and path of every record but the first of each file."""
    found = []
    for path in sorted((workspace.data / "warc").iterdir()):
        with path.open("rb") as stream:
            for record in ArchiveIterator(stream, parse_http=True):
                if record.record_type != WarcRecordType.warcinfo:
                    url = record.headers["WARC-Target-URI"]
                    found.append((record.headers["WARC-Type"], "/" + url.split("/", 3)[3]))
    return found


def test_an_unchanged_site_sends_no_body_and_gives_no_new_page(
    site: Any, versioned: Versioned, source: Source, tmp_path: Path
) -> None:
    one = _crawled(source(site), tmp_path / "one")
    versioned.bodies_sent.clear()
    site.log.clear()
    two = _crawled(source(site), tmp_path / "two", one)
    assert versioned.bodies_sent == []
    assert sorted(site.paths()) == sorted(versioned.texts)  # one request a page
    assert content_digest(one.entries()) == content_digest(two.entries())
    before, after = _pages(one), _pages(two)
    for path, page in after.items():
        assert page.fetched_at_ms == before[path].fetched_at_ms < page.checked_at_ms
        assert (page.num_checks, page.num_changes) == (1, 0)
        with Catalogue(two.scratch) as catalogue:
            assert catalogue.body(page).decode() == versioned.texts[path]
    assert sorted(_records(two)) == sorted(
        (kind, path) for kind in ("response", "revisit") for path in versioned.texts
    )


def test_a_third_night_builds_on_the_second(
    site: Any, versioned: Versioned, source: Source, tmp_path: Path
) -> None:
    one = _crawled(source(site), tmp_path / "one")
    two = _crawled(source(site), tmp_path / "two", one)
    versioned.texts["/p3"] = "page 3, changed"
    versioned.bodies_sent.clear()
    three = _crawled(source(site), tmp_path / "three", two)
    assert versioned.bodies_sent == ["/p3"]
    pages = _pages(three)
    assert (pages["/p3"].num_checks, pages["/p3"].num_changes) == (2, 1)
    assert (pages["/p4"].num_checks, pages["/p4"].num_changes) == (2, 0)
    assert pages["/p4"].fetched_at_ms == _pages(one)["/p4"].fetched_at_ms
    with Catalogue(three.scratch) as catalogue:
        assert catalogue.body(pages["/p3"]) == b"page 3, changed"
    responses = [path for kind, path in _records(three) if kind == "response"]
    assert sorted(responses) == sorted(versioned.texts)  # no copy of what was before


def test_it_is_what_a_crawl_from_scratch_would_be(
    site: Any, versioned: Versioned, source: Source, tmp_path: Path
) -> None:
    one = _crawled(source(site), tmp_path / "one")
    versioned.texts["/p2"] = "other"
    versioned.texts["/"] = versioned.texts["/"].replace("<a href=/p9>x</a>", "")  # no link, no page
    knowing = _crawled(source(site), tmp_path / "knowing", one)
    fresh = _crawled(source(site), tmp_path / "fresh")
    assert content_digest(knowing.entries()) == content_digest(fresh.entries())
    assert "/p9" not in _pages(knowing)


def test_a_server_without_etags_sends_bodies_that_are_not_kept_twice(
    site: Any, versioned: Versioned, source: Source, tmp_path: Path
) -> None:
    versioned.by_etag = False
    one = _crawled(source(site), tmp_path / "one")
    two = _crawled(source(site), tmp_path / "two", one)
    assert content_digest(one.entries()) == content_digest(two.entries())
    assert sum(kind == "response" for kind, _ in _records(two)) == NUM_PAGES + 1
    assert _pages(two)["/p1"].fetched_at_ms == _pages(one)["/p1"].fetched_at_ms


def test_a_date_serves_as_well(site: Any, answer: Any, source: Source, tmp_path: Path) -> None:
    changed = format_datetime(datetime(2026, 1, 2, tzinfo=UTC), usegmt=True)

    def serve(handler: Any) -> Any:
        if handler.headers.get("If-Modified-Since") == changed:
            return answer("", 304)
        return answer("text", 200, {"Content-Type": "text/html", "Last-Modified": changed})

    site.routes["/"] = serve
    one = _crawled(source(site), tmp_path / "one")
    two = _crawled(source(site), tmp_path / "two", one)
    assert [kind for kind, _ in _records(two)] == ["response", "revisit"]


def test_what_a_304_says_of_use_is_obeyed(
    site: Any, versioned: Versioned, source: Source, tmp_path: Path
) -> None:
    one = _crawled(source(site, obey=("noai",)), tmp_path / "one")
    versioned.headers["X-Robots-Tag"] = "noarchive"
    two = _crawled(source(site, obey=("noai",)), tmp_path / "two", one)
    assert {page.policy for page in _pages(two).values()} == {"noarchive"}
    versioned.headers["X-Robots-Tag"] = "noai"
    with pytest.raises(Exception, match="policy"):
        _crawled(source(site, obey=("noai",)), tmp_path / "three", two)


@pytest.mark.parametrize("damage", ["gone", "torn"])
def test_an_earlier_file_that_is_lost_costs_bodies_only(
    site: Any, versioned: Versioned, source: Source, tmp_path: Path, damage: str
) -> None:
    one = _crawled(source(site), tmp_path / "one")
    (file,) = (one.data / "warc").iterdir()
    file.unlink() if damage == "gone" else file.write_bytes(file.read_bytes()[:900])
    two = _crawled(source(site), tmp_path / "two", one)
    assert content_digest(one.entries()) == content_digest(two.entries())


def test_conditions_can_be_turned_off(
    site: Any, versioned: Versioned, source: Source, tmp_path: Path
) -> None:
    one = _crawled(source(site), tmp_path / "one")
    versioned.bodies_sent.clear()
    _crawled(source(site, conditional=False), tmp_path / "two", one)
    assert len(versioned.bodies_sent) == NUM_PAGES + 1


def test_what_was_taken_down_is_not_taken_over(
    site: Any, versioned: Versioned, source: Source, tmp_path: Path
) -> None:
    one = _crawled(source(site), tmp_path / "one")
    url = f"{site.url}/p5"
    rule = Takedown(
        id=identify("url", url), kind="url", value=url, why="", by="", at=datetime.now(UTC)
    )
    two = _crawled(source(site), tmp_path / "two", one, forgotten=Forgotten((rule,)))
    assert "/p5" not in _pages(two)
    assert ("response", "/p5") not in _records(two)


def test_only_so_many_are_asked_about(
    site: Any, versioned: Versioned, source: Source, tmp_path: Path
) -> None:
    one = _crawled(source(site), tmp_path / "one")
    versioned.texts["/p7"] = "changes often"
    two = _crawled(source(site), tmp_path / "two", one)
    versioned.texts["/p7"] = "changes very often"
    site.log.clear()
    three = _crawled(source(site, max_checks=1), tmp_path / "three", two)
    assert site.paths() == ["/p7"]  # the one that is known to change
    pages = _pages(three)
    assert set(pages) == set(versioned.texts)
    assert (pages["/p7"].num_checks, pages["/p8"].num_checks) == (2, 1)
    assert pages["/p8"].checked_at_ms == _pages(two)["/p8"].checked_at_ms


def test_todays_robots_txt_also_counts_for_what_is_not_asked_about(
    site: Any, versioned: Versioned, source: Source, tmp_path: Path
) -> None:
    one = _crawled(source(site), tmp_path / "one")
    site.routes["/robots.txt"] = "User-agent: *\nDisallow: /p8"
    two = _crawled(source(site, max_checks=1), tmp_path / "two", one)
    assert set(_pages(two)) == set(versioned.texts) - {"/p8"}
    (reject,) = read_table([two.data / "rejects.parquet"]).to_pylist()
    assert (reject["url"], reject["reason"]) == (f"{site.url}/p8", "robots")


def test_the_hosts_table_counts_what_was_taken_over(
    site: Any, versioned: Versioned, source: Source, tmp_path: Path
) -> None:
    one = _crawled(source(site), tmp_path / "one")
    versioned.texts["/p1"] = "new"
    two = _crawled(source(site), tmp_path / "two", one)
    (host,) = read_table([two.data / "hosts.parquet"]).to_pylist()
    assert (host["pages"], host["unchanged"]) == (NUM_PAGES + 1, NUM_PAGES)


def test_change_probability_follows_what_was_seen() -> None:
    page = FetchedPage(
        "u", "", "", "", "", 0, "", "", 0, 0, 0, 0, 200, "", "", 0, "", "", 0, 0
    )  # never asked for again
    now = 30 * DAY_MS

    def probability(checks: int, changes: int, at_ms: int = 0) -> float:
        seen = replace(page, num_checks=checks, num_changes=changes, checked_at_ms=at_ms)
        return change_probability(seen, now)

    assert probability(9, 9) > probability(9, 4) > probability(9, 1) > probability(9, 0)
    assert probability(0, 0) > probability(9, 0) > probability(99, 0)
    assert probability(9, 4, at_ms=now - DAY_MS) < probability(9, 4)
    assert probability(9, 4, at_ms=now + DAY_MS) == 0 == probability(0, 0, at_ms=now)
