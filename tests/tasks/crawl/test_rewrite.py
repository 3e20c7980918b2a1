"""A crawl without pages that were taken down: fetched before, or never asked for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import DamagedArtifact
from storage.manifest import content_digest
from storage.parquet import read_table
from storage.takedown import NOTHING, Forgotten, Kind, Takedown, identify
from storage.warc import read_body
from storage.workspace import Workspace
from tasks.crawl.captures import Capture
from tasks.crawl.catalogue import Catalogue, FetchedPage
from tasks.crawl.index import Crawled, write_crawl, write_index
from tasks.crawl.live.crawler import crawl
from tasks.crawl.rewrite import SealedShard, copy_segment, read_rejects
from tasks.crawl.sources.web import WebSource

Source = Callable[..., WebSource]
WARC_FILE = "pages-00000.warc.gz"
AT = datetime(2026, 11, 21, 3, 4, 5, 678000, tzinfo=UTC)
SHARDS = 3


def _forgotten(*rules: tuple[Kind, str]) -> Forgotten:
    return Forgotten(
        tuple(
            Takedown(id=identify(kind, value), kind=kind, value=value, why="", by="", at=AT)
            for kind, value in rules
        )
    )


def _site(site: Any) -> None:
    site.links("/", *(f"/p{i}" for i in range(12)), "/missing")
    for i in range(12):
        site.links(f"/p{i}", text=f"secret number {i}")


def _crawled(source: WebSource, root: Path, forgotten: Forgotten = NOTHING) -> Workspace:
    workspace = Workspace(root)
    crawl(source, workspace.scratch, forgotten)
    return workspace


def _rejects(workspace: Workspace) -> dict[str, tuple[str, str, str]]:
    rows = read_table([workspace.data / "rejects.parquet"]).to_pylist()
    assert [row["url"] for row in rows] == sorted(row["url"] for row in rows)
    return {r["url"]: (r["reason"], r["value"], r["threshold"]) for r in rows}


def _files(workspace: Workspace, folder: str) -> list[Path]:
    return sorted((workspace.data / folder).glob("*.parquet"))


def _sealed(workspace: Workspace) -> list[SealedShard]:
    tables = (_files(workspace, folder) for folder in ("pages", "fetches"))
    return [SealedShard(*paths) for paths in zip(*tables, strict=True)]


def _bodies(workspace: Workspace) -> dict[str, bytes]:
    """What the tables say is in the WARC file, read at their offsets."""
    urls = {r["page_id"]: r["url"] for r in read_table(_files(workspace, "pages")).to_pylist()}
    fetches = read_table(_files(workspace, "fetches")).to_pylist()
    warc = workspace.data / "warc" / WARC_FILE
    assert {row["page_id"] for row in fetches} == set(urls)
    return {urls[row["page_id"]]: read_body(warc, row["warc_offset"]) for row in fetches}


def test_what_was_taken_down_is_not_asked_for(site: Any, source: Source, tmp_path: Path) -> None:
    _site(site)
    forgotten = _forgotten(("url", f"{site.url}/p3"))
    workspace = _crawled(source(site), tmp_path, forgotten)
    stats = write_index(workspace, SHARDS, forgotten)
    assert "/p3" not in site.paths() and "/p4" in site.paths()
    assert stats["rejected"] == {"forgotten": 1, "http_404": 1} and stats["rows_out"] == 12
    says = ("forgotten", f"url {site.url}/p3", "content that was not taken down")
    assert _rejects(workspace)[f"{site.url}/p3"] == says


def test_a_crawl_that_had_fetched_it_ends_as_one_that_never_did(
    site: Any, source: Source, tmp_path: Path
) -> None:
    _site(site)
    forgotten = _forgotten(("url", f"{site.url}/p3"), ("url", f"{site.url}/p11"))
    late = _crawled(source(site), tmp_path / "late")
    never = _crawled(source(site), tmp_path / "never", forgotten)
    stats = write_index(late, SHARDS, forgotten)
    asked = {"hosts", "requests"}
    without = write_index(never, SHARDS, forgotten)
    assert {k: v for k, v in stats.items() if k not in asked} == {
        k: v for k, v in without.items() if k not in asked
    }
    assert stats["rejected"] == {"forgotten": 2, "http_404": 1}
    assert content_digest(late.entries()) == content_digest(never.entries())
    assert _rejects(late) == _rejects(never)
    assert _bodies(late) == _bodies(never)
    assert all(b"secret number 3<" not in body for body in _bodies(late).values())
    assert len(_bodies(late)) == 11


def test_a_domain_takes_all_of_its_pages(site: Any, source: Source, tmp_path: Path) -> None:
    _site(site)
    workspace = _crawled(source(site), tmp_path)
    stats = write_index(workspace, SHARDS, _forgotten(("domain", "127.0.0.1")))
    assert stats["rows_out"] == 0 and stats["rejected"]["forgotten"] == 13
    assert (workspace.data / "warc" / WARC_FILE).stat().st_size < 1000  # what it is called


def test_a_sealed_crawl_is_read_back_as_it_was_fetched(
    site: Any, source: Source, tmp_path: Path
) -> None:
    _site(site)
    workspace = _crawled(source(site), tmp_path)
    write_index(workspace, SHARDS)
    with Catalogue(workspace.scratch) as catalogue:
        pages, rejects = list(catalogue.pages()), list(catalogue.rejects())
    read = [page for shard in _sealed(workspace) for page in shard]
    assert sorted(read, key=lambda page: page.page_id) == pages
    assert read_rejects([workspace.data / "rejects.parquet"]) == rejects


def test_a_sealed_crawl_is_rewritten_to_the_bytes_of_a_late_index(
    site: Any, source: Source, tmp_path: Path
) -> None:
    _site(site)
    forgotten = _forgotten(("url", f"{site.url}/p5"))
    sealed = _crawled(source(site), tmp_path / "sealed")
    write_index(sealed, SHARDS)
    warc = sealed.data / "warc" / WARC_FILE
    rejects = [sealed.data / "rejects.parquet"]
    hosts = read_table([sealed.data / "hosts.parquet"]).to_pylist()
    rewritten = Workspace(tmp_path / "rewritten")
    crawled = Crawled(_sealed(sealed), read_rejects(rejects), [warc], hosts)
    stats = write_crawl(rewritten, crawled, lambda page: forgotten.covers(page.url))
    write_index(sealed, SHARDS, forgotten)  # the same crawl, resumed after the takedown
    assert rewritten.entries() == sealed.entries()
    assert stats["rows_out"] == 12


BODIES = st.lists(st.binary(max_size=300), min_size=1, max_size=8)


@given(BODIES, st.sets(st.integers(0, 7)))
def test_what_stays_goes_over_byte_for_byte(
    tmp_path_factory: pytest.TempPathFactory, bodies: list[bytes], dropped: set[int]
) -> None:
    root = tmp_path_factory.mktemp("warc")
    pages, warc = _write(root, bodies)
    kept = [page for number, page in enumerate(pages) if number not in dropped]
    workspace = Workspace(root / "work")
    gone = {page.page_id for page in pages if page not in kept}
    offsets = copy_segment(workspace, "new.gz", warc, pages, gone)
    old, new = warc.read_bytes(), (workspace.data / "new.gz").read_bytes()
    head = old[: pages[0].warc_offset]
    assert new == head + b"".join(old[page.warc_offset : page.place.end] for page in kept)
    assert set(offsets) == {page.page_id for page in kept}
    for page in kept:
        body = read_body(workspace.data / "new.gz", offsets[page.page_id])
        assert body == bodies[pages.index(page)]


def _write(root: Path, bodies: list[bytes]) -> tuple[list[FetchedPage], Path]:
    with Catalogue(root) as catalogue:
        pages = []
        for number, body in enumerate(bodies):
            capture = Capture(f"http://a/{number}", body, "text/html", "", AT, 200, "OK")
            page = catalogue.add(capture)
            assert page is not None
            pages.append(page)
        (segment,) = catalogue.segments()
    return pages, segment


@pytest.mark.parametrize("damage", ["body", "gap", "torn"])
def test_a_file_that_is_not_what_the_table_says_is_refused(tmp_path: Path, damage: str) -> None:
    pages, warc = _write(tmp_path, [b"one", b"two" * 50, b"three"])
    if damage == "body":
        pages[1] = FetchedPage(**{**vars(pages[1]), "body_digest": "0" * 64})
    if damage == "gap":  # a record that no row speaks of would ride along with the one before
        longer = {"warc_bytes": pages[1].place.end - pages[0].warc_offset}
        pages = [FetchedPage(**{**vars(pages[0]), **longer}), pages[2]]
    if damage == "torn":
        warc.write_bytes(warc.read_bytes()[:-20])
    workspace = Workspace(tmp_path / "work")
    with pytest.raises(DamagedArtifact, match="are not what the fetch table names"):
        dropped = pages[0] if damage == "torn" else pages[-1]
        copy_segment(workspace, "new.gz", warc, pages, {dropped.page_id})
