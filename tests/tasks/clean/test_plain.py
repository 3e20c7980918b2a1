"""Pages that are text already, and XHTML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from storage.workspace import Workspace
from tasks.clean import sandbox
from tasks.clean.clean import TABLES, CleanPaths, clean_shard
from tasks.clean.config import CleanConfig
from tasks.clean.extractors import Auto, Extractor, Resiliparse, Trafilatura
from tasks.clean.judging import XHTML, closed, is_plain, read_plain
from tests.tasks.clean.conftest import Page, WriteShard

PATHS = CleanPaths(*(f"{table}/a.parquet" for table in TABLES))
PROSE = "The river of the town is near the hill and we have seen it. " * 5
MARKDOWN = f"Intro.\n\n# The  title #\n\n{PROSE}\n\n    code:\n\n# Another"


def _documents(write: WriteShard, root: Path, *pages: Page, **knobs: Any) -> list[dict[str, Any]]:
    workspace = Workspace(root)
    clean_shard(write(pages), CleanConfig(filters=(), **knobs), workspace, PATHS)
    return sorted(
        pq.read_table(workspace.data / PATHS.documents).to_pylist(), key=lambda row: row["url"]
    )


def test_text_is_taken_as_it_is(write_shard: WriteShard, tmp_path: Path) -> None:
    text = f"<b>not HTML</b> & so on\n\n  indented\n{PROSE}"
    one, two, three = _documents(
        write_shard,
        tmp_path / "out",
        Page("file:///1.txt", text.encode(), "utf-8", "text/plain"),
        Page("file:///2.txt", "Phù sa ở đồng bằng".encode("utf-16"), "", "text/plain"),
        Page("file:///3.md", MARKDOWN.encode(), "utf-8", "text/markdown"),
    )
    assert (one["text"], one["title"], one["extractor"]) == (text.rstrip(), "", "plain")
    assert two["text"] == "Phù sa ở đồng bằng"
    assert (three["title"], three["extractor"]) == ("The title", "plain")
    assert three["text"] == MARKDOWN.replace(". \n", ".\n")


def test_no_child_is_started_for_text(
    write_shard: WriteShard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "Child", None)
    page = Page("file:///1.txt", PROSE.encode(), "utf-8", "text/plain")
    assert len(_documents(write_shard, tmp_path / "out", page)) == 1


def test_filters_and_lines_hold_for_text_too(write_shard: WriteShard, tmp_path: Path) -> None:
    page = Page("file:///1.txt", b"Menu: x\nThe text of it", "utf-8", "text/plain")
    (row,) = _documents(write_shard, tmp_path / "out", page, drop_lines=("^Menu",))
    assert row["text"] == "The text of it"
    workspace = Workspace(tmp_path / "strict")
    clean_shard(write_shard([page]), CleanConfig(), workspace, PATHS)
    (reject,) = pq.read_table(workspace.data / PATHS.rejects).to_pylist()
    assert reject["reason"] == "too_few_words"


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("# One", "One"),
        ("text\n## Two\n# One\n# Three", "One"),
        ("   # One ##  ", "One"),
        ("#One", ""),
        ("    # code", ""),
        ("# ", ""),
        ("#", ""),
        ("# C#", "C#"),
        ("", ""),
        ("\ufeff# One", "One"),
        ("# One\r\ntext", "One"),
    ],
)
def test_the_title_of_markdown(text: str, title: str) -> None:
    found = read_plain(text.encode(), "utf-8", "text/markdown")
    assert found.title.strip() == title
    assert read_plain(text.encode(), "utf-8", "text/plain").title == ""


@given(st.binary(max_size=200), st.text(max_size=10))
def test_no_bytes_make_it_fail(body: bytes, charset: str) -> None:
    read_plain(body, charset, "text/markdown")
    closed(body)


def test_what_is_plain() -> None:
    kinds = ("text/plain", "text/markdown", "text/html", XHTML, "text/x", "")
    assert [is_plain(kind) for kind in kinds] == [True, True, False, False, False, False]


# --- XHTML --------------------------------------------------------------------------------------


@pytest.mark.parametrize("extractor", [Auto(), Trafilatura(), Resiliparse()])
@pytest.mark.parametrize("head", ["<title/>", '<script src="x.js" />', "<style/><script/>"])
def test_empty_elements_of_xhtml_take_no_text(
    write_shard: WriteShard, tmp_path: Path, extractor: Extractor, head: str
) -> None:
    chapter = (
        '<?xml version="1.0" encoding="utf-8"?><html xmlns="http://www.w3.org/1999/xhtml">'
        f'<head>{head}</head><body><a id="p1"/><div class="x"/><p>{PROSE}</p></body></html>'
    )
    page = Page("file:///book.epub/1.xhtml", chapter.encode(), "utf-8", XHTML)
    (row,) = _documents(write_shard, tmp_path / "out", page, extractor=extractor)
    assert row["text"] == PROSE.strip()
    assert row["extractor"] == ("article" if extractor == Auto() else extractor.kind)


@pytest.mark.parametrize(
    ("xml", "html"),
    [
        (b"<title/>", b"<title></title>"),
        (b'<a id="x"/>t', b'<a id="x"></a>t'),
        (b"<script src='a'\n/>", b"<script src='a'></script>"),
        (b"<br/><img src='a/' /><HR />", b"<br/><img src='a/' /><HR />"),
        (b"<p>a / b</p>", b"<p>a / b</p>"),
        (b"1 < 2 />", b"1 < 2 />"),
        (b"<svg:rect/>", b"<svg:rect/>"),
        (b"", b""),
    ],
)
def test_end_tags(xml: bytes, html: bytes) -> None:
    assert closed(xml) == html


@given(
    st.recursive(st.just(()), lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=9)
)
def test_xml_stays_the_same_tree(tree: tuple[Any, ...]) -> None:
    def element(node: tuple[Any, ...]) -> etree._Element:
        made = etree.Element("div", id="x")
        made.extend([element(child) for child in node])
        return made

    xml = etree.tostring(element(tree))
    assert etree.tostring(etree.fromstring(closed(xml))) == xml


def test_long_tags_take_no_long_time() -> None:
    body = b"<a" + b" x" * 200_000 + b"<b " * 100_000 + b"/" * 100_000
    assert closed(body) == body
