"""A folder of documents."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from storage.errors import RequestError
from tasks.crawl.captures import url_below
from tasks.crawl.sources import FilesSource
from tests.tasks.crawl.sources.books import chapter, write_book
from tests.tasks.crawl.sources.reading import read_all

FILES = {
    "index.html": b"<p>start</p>",
    "a/b.HTM": b"<p>b</p>",
    "a/c d.xhtml": b"<p>c</p>",
    "notes/Phù sa?.md": "# Phù sa".encode(),
    "notes/latin.txt": b"caf\xe9",
    "notes/utf8.txt": "café".encode(),
    "notes/image.png": b"\x89PNG",
    "notes/._utf8.txt": b"left by a Mac",
    ".git/readme.md": b"hidden",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, body in FILES.items():
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    return tmp_path / "in"


def test_every_document_is_a_page(folder: Path, tmp_path: Path) -> None:
    pages, rejects = read_all(FilesSource(path=str(folder)), tmp_path / "scratch")
    assert {url: (page.content_type, page.charset) for url, page in pages.items()} == {
        "file:///a/b.HTM": ("text/html", ""),
        "file:///a/c%20d.xhtml": ("application/xhtml+xml", ""),
        "file:///index.html": ("text/html", ""),
        "file:///notes/Ph%C3%B9%20sa%3F.md": ("text/markdown", "utf-8"),
        "file:///notes/latin.txt": ("text/plain", ""),
        "file:///notes/utf8.txt": ("text/plain", "utf-8"),
    }
    assert list(pages) == sorted(pages)
    assert rejects == []
    assert pages["file:///notes/utf8.txt"].body == FILES["notes/utf8.txt"]


def test_the_time_of_a_file_is_that_of_its_last_change(folder: Path, tmp_path: Path) -> None:
    os.utime(folder / "index.html", (0, 1_700_000_000))
    pages, _ = read_all(FilesSource(path=str(folder)), tmp_path / "scratch")
    at = datetime.fromtimestamp(1_700_000_000, UTC)
    assert pages["file:///index.html"].fetched_at == at


def test_include_and_exclude(folder: Path, tmp_path: Path) -> None:
    source = FilesSource(path=str(folder), include=("notes/*", "*.HTM"), exclude=("*latin*",))
    pages, _ = read_all(source, tmp_path / "scratch")
    assert list(pages) == [
        "file:///a/b.HTM",
        "file:///notes/Ph%C3%B9%20sa%3F.md",
        "file:///notes/utf8.txt",
    ]


@pytest.mark.parametrize("base", ["https://EXAMPLE.org:443/books/", "https://example.org/books"])
def test_a_base_url_is_spelled_as_a_crawl_spells_it(
    folder: Path, tmp_path: Path, base: str
) -> None:
    source = FilesSource(path=str(folder), base_url=base, include=("a/c*", "notes/P*"))
    pages, _ = read_all(source, tmp_path / "scratch")
    assert list(pages) == [
        "https://example.org/books/a/c%20d.xhtml",
        "https://example.org/books/notes/Ph%C3%B9%20sa%3F.md",
    ]


@pytest.mark.parametrize("base", ["books", "ftp://a/", "file://a/b", "https:///x", "http://a/?b"])
def test_base_urls_that_are_none(base: str) -> None:
    with pytest.raises(ValidationError, match="base_url"):
        FilesSource(path=".", base_url=base)


@given(st.text(min_size=1, max_size=40).filter(lambda name: "\0" not in name))
def test_any_name_has_a_url_of_its_own(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        return
    for base in ("file:///", "http://a.test/x"):
        url = url_below(base, f"{name}.txt")
        assert url.isascii()
        assert "?" not in url
        assert "#" not in url


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path / "in")
    os.mkdir(folder)  # noqa: PTH102 - a name of bytes
    with open(folder + b"/caf\xe9.txt", "wb") as file:  # noqa: PTH123
        file.write(b"text")
    pages, _ = read_all(FilesSource(path=str(tmp_path / "in")), tmp_path / "scratch")
    assert list(pages) == ["file:///caf%5Cxe9.txt"]


def test_empty_and_large_files_are_rejects(folder: Path, tmp_path: Path) -> None:
    (folder / "index.html").write_bytes(b"x" * 1001)
    (folder / "a" / "b.HTM").write_bytes(b"")
    source = FilesSource(path=str(folder), max_page_bytes=1000)
    pages, rejects = read_all(source, tmp_path / "scratch")
    assert {r.url: r.reason for r in rejects} == {
        "file:///index.html": "too_large",
        "file:///a/b.HTM": "empty_body",
    }
    assert len(pages) == 4


@pytest.mark.parametrize(
    ("path", "include", "says"),
    [
        ("none", (), "expected a folder"),
        ("in/index.html", (), "expected a folder"),
        ("empty", (), "a folder without such a file"),
        ("in", ("*.pdf",), "6 files, and none that include and exclude let pass"),
    ],
)
def test_nothing_to_read_is_a_fault(
    folder: Path, tmp_path: Path, path: str, include: tuple[str, ...], says: str
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(RequestError, match=says):
        FilesSource(path=str(tmp_path / path), include=include).inputs()


def test_books_are_among_them(folder: Path, tmp_path: Path) -> None:
    write_book(folder / "z.epub", {"one.xhtml": chapter("one"), "two.xhtml": chapter("two")})
    pages, _ = read_all(FilesSource(path=str(folder)), tmp_path / "scratch")
    assert list(pages)[-2:] == [
        "file:///z.epub/OEBPS/one.xhtml",
        "file:///z.epub/OEBPS/two.xhtml",
    ]
