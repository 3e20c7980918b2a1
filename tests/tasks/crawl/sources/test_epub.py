"""Books, whole, broken and hostile."""

from __future__ import annotations

import struct
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.crawl.captures import Capture, RejectedUrl
from tasks.crawl.inputs import files as epub
from tasks.crawl.inputs.files import read_epub
from tests.tasks.crawl.sources.books import CONTAINER, chapter, package, write_book

LIMIT = 100_000
URL = "file:///in/book.epub"
THREE = {name: chapter(name) for name in ("c.xhtml", "a.xhtml", "text/b.xhtml")}


def _read(path: Path, limit: int = LIMIT) -> tuple[dict[str, Capture], list[RejectedUrl]]:
    """Pages by their path in the archive, and rejects."""
    found = [what for _, what in read_epub(path, "in/book.epub", "file:///", limit)]
    pages = {w.url.removeprefix(f"{URL}/"): w for w in found if isinstance(w, Capture)}
    return pages, [what for what in found if isinstance(what, RejectedUrl)]


@pytest.fixture
def book(tmp_path: Path) -> Path:
    return tmp_path / "in" / "book.epub"


def test_documents_come_in_reading_order(book: Path) -> None:
    pages, rejects = _read(write_book(book, THREE))
    assert list(pages) == ["OEBPS/c.xhtml", "OEBPS/a.xhtml", "OEBPS/text/b.xhtml"]
    assert rejects == []
    page = pages["OEBPS/a.xhtml"]
    assert (page.content_type, page.charset) == ("application/xhtml+xml", "UTF-8")
    assert page.body == THREE["a.xhtml"]


def test_a_package_at_the_root(book: Path) -> None:
    pages, _ = _read(write_book(book, THREE, opf="content.opf"))
    assert list(pages) == list(THREE)


def test_paths_are_escaped_once(book: Path) -> None:
    chapters = {"chương 1.xhtml": chapter("one")}
    spine = ["ch%C6%B0%C6%A1ng%201.xhtml#start", "../OEBPS/x/../ch%C6%B0%C6%A1ng%201.xhtml"]
    pages, rejects = _read(write_book(book, chapters, spine))
    assert (list(pages), rejects) == (["OEBPS/ch%C6%B0%C6%A1ng%201.xhtml"], [])


@pytest.mark.parametrize(
    ("beginning", "charset"),
    [
        (b"<?xml version='1.0' encoding='ISO-8859-1'?>", "ISO-8859-1"),
        (b"<html>", "utf-8"),
        (b"\xff\xfe<\0", ""),
    ],
)
def test_charsets(book: Path, beginning: bytes, charset: str) -> None:
    pages, _ = _read(write_book(book, {"a.xhtml": beginning + b"<p>x</p>"}))
    assert pages["OEBPS/a.xhtml"].charset == charset


# --- broken -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "href",
    ["none.xhtml", "../../../../etc/passwd", "/etc/passwd", "file:///etc/passwd", "", "..", "%00"],
)
def test_what_the_spine_names_and_is_not_there(book: Path, href: str) -> None:
    pages, rejects = _read(write_book(book, THREE, [href, *THREE]))
    assert len(pages) == 3
    assert [r.reason for r in rejects] == ["bad_record"]
    assert rejects[0].url.startswith("file:///in/book.epub/")


def _without(book: Path, missing: str) -> None:
    write_book(book, THREE)
    with ZipFile(book) as archive:
        entries = {name: archive.read(name) for name in archive.namelist() if name != missing}
    with ZipFile(book, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)


@pytest.mark.parametrize("missing", ["META-INF/container.xml", "OEBPS/content.opf"])
def test_a_book_without_a_package_is_one_reject(book: Path, missing: str) -> None:
    _without(book, missing)
    pages, rejects = _read(book)
    assert pages == {}
    assert [(r.url, r.reason) for r in rejects] == [(URL, "bad_record")]


@pytest.mark.parametrize(
    "content", ["", "<", "no XML", "<package/>", package([]), "<!DOCTYPE x [<!ENTITY a 'b'>]>&a;"]
)
@pytest.mark.parametrize("name", ["META-INF/container.xml", "OEBPS/content.opf"])
def test_xml_that_says_nothing_is_one_reject(book: Path, name: str, content: str) -> None:
    _without(book, name)
    with ZipFile(book, "a") as archive:
        archive.writestr(name, content)
    pages, rejects = _read(book)
    assert pages == {}
    assert [(r.url, r.reason) for r in rejects] == [(URL, "bad_record")]


def test_no_entity_is_read_from_a_file(book: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("content.opf")
    hostile = f'<!DOCTYPE c [<!ENTITY s SYSTEM "{(tmp_path / "secret").as_uri()}">]>'
    _without(book, "META-INF/container.xml")
    with ZipFile(book, "a") as archive:
        archive.writestr("META-INF/container.xml", hostile + CONTAINER.format("&s;"))
    assert _read(book)[0] == {}


@pytest.mark.parametrize("data", [b"", b"no zip at all", b"PK\x03\x04", b"PK\x05\x06" + b"\0" * 18])
def test_what_is_no_book_is_one_reject(book: Path, data: bytes) -> None:
    book.parent.mkdir()
    book.write_bytes(data)
    pages, rejects = _read(book)
    assert pages == {}
    assert [(r.url, r.reason) for r in rejects] == [(URL, "bad_record")]


def test_a_damaged_document_costs_itself(book: Path) -> None:
    write_book(book, THREE)
    with ZipFile(book) as archive:
        info = archive.getinfo("OEBPS/a.xhtml")
    data = bytearray(book.read_bytes())
    start = info.header_offset + 30 + len(info.filename)
    data[start + 10 : start + 20] = b"\xff" * 10
    book.write_bytes(bytes(data))
    pages, rejects = _read(book)
    assert list(pages) == ["OEBPS/c.xhtml", "OEBPS/text/b.xhtml"]
    assert [(r.url, r.reason) for r in rejects] == [(f"{URL}/OEBPS/a.xhtml", "bad_record")]


def test_encrypted_documents_are_named(book: Path) -> None:
    locked = (
        '<encryption xmlns:e="http://www.w3.org/2001/04/xmlenc#"><e:CipherReference '
        'URI="OEBPS/a.xhtml"/></encryption>'
    )
    pages, rejects = _read(write_book(book, THREE, more={"META-INF/encryption.xml": locked}))
    assert list(pages) == ["OEBPS/c.xhtml", "OEBPS/text/b.xhtml"]
    assert [(r.url, r.reason) for r in rejects] == [(f"{URL}/OEBPS/a.xhtml", "encrypted")]


def test_an_archive_with_a_password(book: Path) -> None:
    write_book(book, THREE)
    data = bytearray(book.read_bytes())
    at = data.find(b"PK\x01\x02")
    while at >= 0:  # the flag of encryption, in every entry of the directory
        (flags,) = struct.unpack_from("<H", data, at + 8)
        struct.pack_into("<H", data, at + 8, flags | 1)
        at = data.find(b"PK\x01\x02", at + 4)
    book.write_bytes(bytes(data))
    pages, rejects = _read(book)
    assert pages == {}
    assert [r.reason for r in rejects] == ["bad_record"]


def test_images_in_the_spine_are_no_pages(book: Path) -> None:
    write_book(book, THREE)
    _without(book, "OEBPS/content.opf")
    with ZipFile(book, "a") as archive:
        archive.writestr("OEBPS/content.opf", package(["a.xhtml"], "image/svg+xml"))
    assert [r.reason for r in _read(book)[1]] == ["not_html"]


def test_a_document_twice_in_the_spine_is_one_page(book: Path) -> None:
    pages, rejects = _read(write_book(book, THREE, [*THREE, *THREE]))
    assert (next(iter(pages)), len(pages), rejects) == ("OEBPS/c.xhtml", 3, [])


# --- bombs --------------------------------------------------------------------------------------


def test_a_document_that_unpacks_to_more_is_too_large(book: Path) -> None:
    chapters = {"bomb.xhtml": b" " * (64 << 20), **THREE}
    pages, rejects = _read(write_book(book, chapters))
    assert book.stat().st_size < 1 << 17
    assert len(pages) == 3
    assert [(r.url, r.reason) for r in rejects] == [(f"{URL}/OEBPS/bomb.xhtml", "too_large")]


def test_an_entry_that_lies_about_its_size(book: Path) -> None:
    """What it says is not asked: no more than the limit is ever unpacked."""
    write_book(book, {"bomb.xhtml": b" " * (8 << 20), **THREE})
    data = book.read_bytes().replace(struct.pack("<I", 8 << 20), struct.pack("<I", 500))
    book.write_bytes(data)
    pages, rejects = _read(book)
    assert len(pages) == 3
    assert [r.url for r in rejects] == [f"{URL}/OEBPS/bomb.xhtml"]


def test_a_book_of_many_bombs_ends(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epub, "BOOK_BYTES", 250_000)
    chapters = {f"{n}.xhtml": b"x" * 90_000 for n in range(9)}
    pages, rejects = _read(write_book(book, chapters))
    assert len(pages) == 2
    assert {r.reason for r in rejects} == {"too_large"}


@given(st.binary(max_size=60), st.floats(0, 1))
def test_no_damage_makes_it_fail(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, where: float
) -> None:
    book = tmp_path_factory.getbasetemp() / "damaged.epub"
    data = bytearray(write_book(book, THREE).read_bytes())
    at = int(where * len(data))
    data[at : at + len(noise)] = noise
    book.write_bytes(bytes(data))
    _read(book)


def test_stored_entries(book: Path) -> None:
    book.parent.mkdir()
    with ZipFile(book, "w") as archive:
        archive.writestr("META-INF/container.xml", CONTAINER.format("a.opf"))
        archive.writestr("a.opf", package(["x.xhtml"]), ZIP_DEFLATED)
        archive.writestr("x.xhtml", chapter("x"))
    assert list(_read(book)[0]) == ["x.xhtml"]
