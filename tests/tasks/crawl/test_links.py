from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.crawl.links import media_type, page_links

PAGE = "http://h/a/b"


def _links(body: bytes | str, charset: str = "") -> list[str]:
    return list(page_links(body.encode() if isinstance(body, str) else body, charset, PAGE))


def test_links_stand_in_page_order_each_once() -> None:
    body = "<a href=z>1</a><p><a href='/x'>2</a><a href=z#part>3</a><a href=//g/>4</a>"
    assert _links(body) == ["http://h/a/z", "http://h/x", "http://g/"]


def test_what_is_no_web_link_is_passed_over() -> None:
    body = (
        "<a name=top>no href</a><a href='mailto:x@h'>m</a><a href='javascript:x'>j</a>"
        "<a href='file:///etc/passwd'>f</a><a href='http://[bad'>b</a><link href=style.css>"
        "<!-- <a href=comment>c</a> --><a href='http://h:99999/'>p</a><a href=ok>k</a>"
    )
    assert _links(body) == ["http://h/a/ok"]


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("<base href='/docs/'>", "http://h/docs/x"),
        ("<base href='http://g/d/'>", "http://g/d/x"),
        ("<base target=_top><base href='/docs/'><base href='/no/'>", "http://h/docs/x"),
        ("<base href='javascript:x'>", "http://h/a/x"),
        ("<base>", "http://h/a/x"),
    ],
)
def test_base(base: str, expected: str) -> None:
    assert _links(f"<head>{base}</head><a name=top></a><a href=x>x</a>") == [expected]


@pytest.mark.parametrize("encoding", ["utf-8", "windows-1252", "iso-8859-2", "shift_jis", "utf-16"])
def test_encodings(encoding: str) -> None:
    name = "表" if encoding in ("shift_jis", "utf-16") else "é"
    body = f"<html><body>{name}<a href='/{name}'>x</a></body></html>".encode(encoding)
    escaped = "".join(f"%{byte:02X}" for byte in name.encode())
    assert _links(body, encoding) == [f"http://h/{escaped}"]


@pytest.mark.parametrize(
    "charset",
    ["nonsense", "punycode", "idna", "rot13", "hex", "unicode_escape", "undefined", "x\0y", "é"],
)
def test_a_charset_that_is_none_does_not_matter(charset: str) -> None:
    assert _links("<a href=x>x</a>", charset) == ["http://h/a/x"]


@pytest.mark.parametrize(
    "body",
    [b"", b" ", b"\0\0\0", b"<", b"<!--", b"\xff\xfe", b"<a href=", b"\x1f\x8b\x08", b"<a href='"],
)
def test_what_is_no_html_has_no_links(body: bytes) -> None:
    assert _links(body) == []


def test_broken_html_still_has_its_links() -> None:
    assert _links("<p><a href=x><table><b></i><a href=y></html><a href=z")[:2] == [
        "http://h/a/x",
        "http://h/a/y",
    ]
    deep = "<div>" * 3000 + "<a href=deep>x</a>"
    assert _links("<a href=x>x</a>" + deep)[0] == "http://h/a/x"


@given(st.binary(max_size=200), st.sampled_from(["", "utf-8", "utf-16", "big5", "utf-7"]))
def test_any_bytes_give_canonical_links_or_none(noise: bytes, charset: str) -> None:
    body = noise + b"<a href='" + noise[::-1] + b"'>x</a>"
    for link in page_links(body, charset, PAGE):
        assert link.startswith(("http://", "https://"))
        link.encode()


def test_a_page_of_many_links_takes_no_square_time() -> None:
    body = "".join(f"<a href='/{i}'>x</a>" for i in range(5_000))
    assert len(_links(body)) == 5_000


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("text/html; charset=UTF-8", ("text/html", "UTF-8")),
        ("TEXT/HTML", ("text/html", "")),
        ("text/html;charset='utf-8'", ("text/html", "'utf-8'")),
        ("application/xhtml+xml", ("application/xhtml+xml", "")),
        ("", ("", "")),
    ],
)
def test_media_type(header: str, expected: tuple[str, str]) -> None:
    assert media_type(header) == expected


@given(st.text(st.characters(max_codepoint=255, min_codepoint=32)))
def test_any_header_has_a_media_type(header: str) -> None:
    kind, charset = media_type(header)
    assert isinstance(kind, str) and isinstance(charset, str)
