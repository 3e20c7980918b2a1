from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import xxhash

from storage.manifest import content_digest
from storage.parquet import read_table
from storage.records import FETCH, PAGE, REJECT
from storage.warc import read_body
from storage.workspace import Workspace
from tasks.crawl.captures import Capture
from tasks.crawl.catalogue import Catalogue
from tasks.crawl.index import write_index
from tasks.crawl.live.crawler import crawl
from tasks.crawl.sources.web import WebSource

Source = Callable[..., WebSource]


def _site(site: Any) -> None:
    site.links("/", *(f"/p{i}" for i in range(20)), "/missing", "/picture")
    for i in range(20):
        site.links(f"/p{i}", text=f"page {i}")


def _indexed(
    source: WebSource, root: Path, num_shards: int = 4
) -> tuple[Workspace, dict[str, Any]]:
    workspace = Workspace(root)
    crawl(source, workspace.scratch)
    return workspace, write_index(workspace, num_shards)


def _table(workspace: Workspace, kind: str) -> pa.Table:
    return read_table(sorted((workspace.data / kind).glob("*.parquet")))


def test_a_shard_is_the_remainder_of_the_unsigned_key(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    with Catalogue(tmp_path) as catalogue:
        with catalogue.transaction():
            for number in range(200):
                url = f"http://h/{number}"
                catalogue.add(Capture(url, str(number).encode(), "text/html", "", now, 200, "OK"))
        for count in (1, 3, 8, 64):
            shards = [list(shard) for shard in catalogue.shards(count)]
            for index, shard in enumerate(shards):
                keys = [xxhash.xxh3_64_intdigest(page.url.encode()) for page in shard]
                assert all(key % count == index for key in keys)
                assert shard == sorted(shard, key=lambda page: page.page_id)
            assert sum(map(len, shards)) == 200


def test_the_index_says_what_was_fetched(site: Any, source: Source, tmp_path: Path) -> None:
    _site(site)
    workspace, stats = _indexed(source(site), tmp_path / "one")
    pages, fetches = _table(workspace, "pages"), _table(workspace, "fetches")
    assert pages.schema.equals(PAGE) and fetches.schema.equals(FETCH)
    assert set(pages["url"].to_pylist()) == {f"{site.url}/"} | {
        f"{site.url}/p{i}" for i in range(20)
    }
    by_id = {row["page_id"]: row for row in fetches.to_pylist()}
    for page in pages.to_pylist():
        fetch = by_id[page["page_id"]]
        body = read_body(workspace.data / "warc" / fetch["warc_file"], fetch["warc_offset"])
        assert page["body_digest"] == hashlib.sha256(body).hexdigest()
        assert page["num_bytes"] == len(body)
        assert (fetch["status"], fetch["robots"]) == (200, "no robots.txt (404)")
    (host,) = stats.pop("hosts")
    assert host == read_table([workspace.data / "hosts.parquet"]).to_pylist()[0]
    assert (host["pages"], host["errors"], host["waiting"]) == (21, 2, 0)
    assert host["page_bytes"] == host["wire_bytes"] - 16 == stats["html_bytes"]
    assert host["robots"] == "no robots.txt (404)"
    assert stats == {
        "rows_in": 23,
        "rows_out": 21,
        "rejected": {"http_404": 2},
        "html_bytes": sum(pages["num_bytes"].to_pylist()),
        "num_hosts": 1,
        "unchanged": 0,
        "waiting": 0,
        "requests": 25,
    }


def test_rejects_say_reason_value_and_threshold(
    site: Any, answer: Any, source: Source, tmp_path: Path
) -> None:
    site.links("/", "/missing", "/picture", "/large")
    site.routes["/picture"] = answer(b"x", 200, {"Content-Type": "image/png"})
    site.routes["/large"] = answer("x" * 3_000)
    workspace, _ = _indexed(source(site, max_page_bytes=2_000), tmp_path)
    rejects = read_table([workspace.data / "rejects.parquet"])
    assert rejects.schema.equals(REJECT)
    assert [(r["reason"], r["value"], r["threshold"]) for r in rejects.to_pylist()] == [
        ("too_large", "over 2000 bytes", "2000"),
        ("http_404", "404", "200"),
        ("not_html", "image/png", "text/html"),
    ]
    assert {r["stage"] for r in rejects.to_pylist()} == {"crawl"}
    assert rejects["id"].to_pylist() == rejects["url"].to_pylist()


def test_shards_are_whole_sorted_and_aligned(site: Any, source: Source, tmp_path: Path) -> None:
    _site(site)
    workspace, _ = _indexed(source(site), tmp_path)
    ids = []
    for index in range(4):
        name = f"part-{index:05d}-of-00004.parquet"
        pages = read_table([workspace.data / "pages" / name])["page_id"].to_pylist()
        fetches = read_table([workspace.data / "fetches" / name])["page_id"].to_pylist()
        assert pages == sorted(pages) == fetches
        ids += pages
    assert len(ids) == len(set(ids)) == 21
    entries = {entry.path.split("/")[0]: entry.volatile for entry in workspace.entries()}
    assert entries == {"pages": False, "fetches": True, "warc": True} | {
        f"{name}.parquet": True for name in ("hosts", "rejects")
    }


def test_an_unchanged_site_gives_the_same_bytes(site: Any, source: Source, tmp_path: Path) -> None:
    _site(site)
    one, _ = _indexed(source(site), tmp_path / "one")
    other, _ = _indexed(source(site, connections_per_host=1), tmp_path / "other")
    files = [path.relative_to(one.data) for path in (one.data / "pages").iterdir()]
    assert len(files) == 4
    for file in files:
        assert (one.data / file).read_bytes() == (other.data / file).read_bytes()
    assert content_digest(one.entries()) == content_digest(other.entries())
    assert one.entries() != other.entries()  # the fetch times did change


def test_a_changed_page_changes_its_own_shard_only(
    site: Any, source: Source, tmp_path: Path
) -> None:
    _site(site)
    one, _ = _indexed(source(site), tmp_path / "one")
    site.links("/p7", text="another text")
    other, _ = _indexed(source(site), tmp_path / "other")
    changed = [
        path.name
        for path in (one.data / "pages").iterdir()
        if path.read_bytes() != (other.data / "pages" / path.name).read_bytes()
    ]
    assert len(changed) == 1
    old = read_table([one.data / "pages" / changed[0]])["page_id"].to_pylist()
    new = read_table([other.data / "pages" / changed[0]])["page_id"].to_pylist()
    assert len(set(old) - set(new)) == len(set(new) - set(old)) == 1


def test_an_index_written_again_is_the_same(site: Any, source: Source, tmp_path: Path) -> None:
    _site(site)
    workspace, stats = _indexed(source(site), tmp_path)
    entries = workspace.entries()
    assert write_index(Workspace(tmp_path), 4) == stats
    assert workspace.entries() == entries
