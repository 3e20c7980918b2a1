"""What holds for every source of pages."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from flows.recipe import load_recipe
from storage.errors import NothingLeft, RequestError
from storage.takedown import Forgotten, Takedown
from storage.warc import read_body
from storage.workspace import Workspace
from tasks.config import identity, models_in
from tasks.crawl.catalogue import Catalogue
from tasks.crawl.config import CrawlConfig
from tasks.crawl.index import write_index
from tasks.crawl.ingest import FileSource, ingest
from tasks.crawl.sources import DatasetSource, FilesSource, RecordsSource, Source, WarcSource
from tests.tasks.crawl.sources.books import chapter, write_book
from tests.tasks.crawl.sources.warcs import packed, response, wet

Make = Callable[[Path], FileSource]


def _warc(folder: Path) -> FileSource:
    pages = [response("http://a.test/1", b"<p>one</p>"), wet("http://a.test/2", "two")]
    (folder / "x.warc.gz").write_bytes(b"".join(packed(*pages)))
    return WarcSource(paths=(str(folder),))


def _files(folder: Path) -> FileSource:
    write_book(folder / "book.epub", {"1.xhtml": chapter("one"), "2.xhtml": chapter("two")})
    (folder / "x.md").write_text("# x")
    return FilesSource(path=str(folder))


def _records(folder: Path) -> FileSource:
    (folder / "x.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')
    return RecordsSource(paths=(str(folder),))


def _dataset(folder: Path) -> FileSource:
    (folder / "x.csv").write_text("text,n\none,1\ntwo,2\n")
    return DatasetSource(path=str(folder))


MAKERS: dict[str, Make] = {
    "warc": _warc,
    "files": _files,
    "records": _records,
    "dataset": _dataset,
}


@pytest.fixture(params=MAKERS)
def source(request: pytest.FixtureRequest, tmp_path: Path) -> FileSource:
    (tmp_path / "in").mkdir()
    return MAKERS[request.param](tmp_path / "in")


def test_every_source_is_tried_here() -> None:
    kinds = {model.model_fields["kind"].default for model in models_in(get_args(Source)[0])}
    assert kinds == {*MAKERS, "web"}


def test_it_reads_the_same_each_time(source: FileSource, tmp_path: Path) -> None:
    read = [[*source.read(file, tmp_path)] for file in source.inputs()]
    assert read == [[*source.read(file, tmp_path)] for file in source.inputs()]
    assert len({place for records in read for place, _ in records}) == sum(map(len, read))


def test_an_index_of_its_pages(source: FileSource, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "work")
    ingest(source, workspace.scratch)
    stats = write_index(workspace, 2)
    assert stats["rows_out"] == stats["rows_in"] >= 2
    with Catalogue(workspace.scratch) as catalogue:
        for page in catalogue.pages():
            body = read_body(workspace.data / "warc" / page.warc_file, page.warc_offset)
            assert len(body) == page.num_bytes > 0
            assert page.robots == "not asked: read from a file"


def test_takedowns_hold(source: FileSource, tmp_path: Path) -> None:
    ingest(source, tmp_path / "all")
    with Catalogue(tmp_path / "all") as catalogue:
        urls = sorted(page.url for page in catalogue.pages())
    facts = {"why": "asked", "by": "me", "at": "2026-01-01T00:00:00Z"}
    forgotten = Forgotten((Takedown(id="1", kind="url", value=urls[0], **facts),))
    ingest(source, tmp_path / "less", forgotten)
    with Catalogue(tmp_path / "less") as catalogue:
        assert sorted(page.url for page in catalogue.pages()) == urls[1:]
        assert [(r.url, r.reason) for r in catalogue.rejects()] == [(urls[0], "forgotten")]


def test_the_bound_on_a_page_holds(source: FileSource, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="max_page_bytes"):
        type(source)(**(source.model_dump() | {"max_page_bytes": 0}))  # type: ignore[attr-defined]


def test_it_is_part_of_a_recipe(source: FileSource, tmp_path: Path) -> None:
    knobs = source.model_dump(mode="json")  # type: ignore[attr-defined]
    path = tmp_path / "recipe.yaml"
    path.write_text(json.dumps({"name": "x", "crawl": {"source": knobs}}))
    recipe = load_recipe(path)
    (config,) = (config for _, _, config, _ in recipe.named())
    assert config.source == source  # type: ignore[attr-defined]
    assert identity(config)["source"] == knobs
    path.write_text(json.dumps({"name": "x", "crawl": {"source": knobs | {"oops": 1}}}))
    with pytest.raises(RequestError, match=r"unknown key `oops`.*max_page_bytes"):
        load_recipe(path)


def test_the_form_tells_the_kinds_apart() -> None:
    schema = CrawlConfig.model_json_schema()
    kinds = schema["properties"]["source"]["discriminator"]["mapping"]
    assert set(kinds) == {*MAKERS, "web"}


@pytest.mark.parametrize(
    ("make", "knobs"),
    [
        (WarcSource, {"paths": ("none",)}),
        (FilesSource, {"path": "none"}),
        (RecordsSource, {"paths": ("none/*.jsonl",)}),
        (DatasetSource, {"path": "none/none"}),
    ],
)
def test_what_is_not_there_is_a_request_error(
    make: Any, knobs: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(RequestError, match="none"):
        ingest(make(**knobs), tmp_path / "out")


@pytest.mark.parametrize("kind", ["files", "records", "dataset"])
def test_no_page_is_nothing_left(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "empty.txt").write_text("")
    (folder / "empty.jsonl").write_text('{"text": ""}\n')
    made: dict[str, FileSource] = {
        "files": FilesSource(path=str(folder)),
        "records": RecordsSource(paths=(str(folder),)),
        "dataset": DatasetSource(path="json", data_files=(str(folder / "empty.jsonl"),)),
    }
    with pytest.raises(NothingLeft, match="1 empty_body"):
        ingest(made[kind], tmp_path / "out")
