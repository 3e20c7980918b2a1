from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.crawl.live.links import LinkReader, PageLinks, media_type
from tasks.crawl.urls import canonical_url

PAGE = "http://h/a/b"


def _read(body: bytes | str, charset: str = "", url: str = PAGE) -> PageLinks:
    return LinkReader().read(body.encode() if isinstance(body, str) else body, charset, url)


def _links(body: bytes | str, charset: str = "") -> list[str]:
    return list(_read(body, charset).links)


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
    for link in _links(body, charset):
        assert canonical_url(link) == link
        link.encode()


def test_areas_are_links_and_the_page_itself_is_none() -> None:
    assert _links("<map><area href=x></map><a href='#top'>t</a><a href=''>e</a>") == [
        "http://h/a/x"
    ]


def test_what_every_anchor_calls_nofollow_is_not_followed() -> None:
    page = _read(
        "<a href=x rel='external NoFollow'>1</a><a href=y rel=nofollow>2</a><a href=z>3</a>"
        "<a href='y#part'>4</a><a href=w rel=nofollowed>5</a>"
    )
    assert page.links == ("http://h/a/x", "http://h/a/y", "http://h/a/z", "http://h/a/w")
    assert page.nofollow == {"http://h/a/x"}
    assert page.followed() == page.links[1:]


def test_what_a_page_says_of_itself() -> None:
    page = _read(
        """<html><head><META NAME=Robots CONTENT="noindex, NoArchive"><meta name=phusa content=noai>
        <meta name=googlebot content=nofollow><meta name=robots><meta name="tdm-reservation"
        content="1"><meta name="tdm-policy" content="https://p/policy.json">
        <link rel="Canonical" href="/a/b#x"><link rel=canonical href=/second>
        <link rel=alternate hreflang=de-AT href=de><link rel=alternate hreflang=x-default href=//g>
        <link rel=alternate hreflang=de-at href=de><link rel=alternate href=print>
        <link rel="alternate home" type="application/RSS+xml; charset=utf-8" hreflang=en href=rss>
        <link rel=alternate type=application/atom+xml href=atom><link rel=stylesheet href=s>
        <link rel=alternate type=application/feed+json href=feed.json></head>"""
    )
    assert page == PageLinks(
        canonical="http://h/a/b",
        alternates=(("de-at", "http://h/a/de"), ("x-default", "http://g/")),
        feeds=("http://h/a/rss", "http://h/a/atom", "http://h/a/feed.json"),
        robots="noindex, NoArchive, noai",
        tdm="1",
    )


@pytest.mark.parametrize(
    "markup",
    [
        "<link rel=license href=https://cc/by/4.0/>",
        "<p>under <a rel='license noopener' href=https://cc/by/4.0/>CC</a>",
        "<span itemscope><a itemprop=license href=https://cc/by/4.0/>CC</a></span>",
        "<meta name=DCTERMS.license content='https://cc/by/4.0/'>",
        "<meta name=dc.rights content='(c) us'><meta name=dc.rights content='https://cc/by/4.0/'>",
        "<meta property=dcterms.rights content='https://cc/by/4.0/'>",
    ],
)
def test_licence(markup: str) -> None:
    assert _read(markup).licence == "https://cc/by/4.0/"


def test_the_agent_is_ours() -> None:
    body = b"<meta name=robots content=noai><meta name=BOT content=noindex>"
    assert LinkReader("Bot").read(body, "", PAGE).robots == "noai, noindex"
    assert LinkReader().read(body, "", PAGE).robots == "noai"


HREFS = st.text("ab/.:?#;%41 \t\n\x01é@[]&=\\", max_size=12) | st.builds(
    "".join,
    st.lists(
        st.sampled_from(
            ["http:", "https://", "//", "/", "..", ".", "x", "?q", "#f", ";p", " ", "g"]
        ),
        max_size=6,
    ),
)


@given(HREFS, st.sampled_from([PAGE, "http://h/", "https://g:8080/x/y/?a=1&b", "http://h/a/?/c/d"]))
def test_links_are_what_canonical_url_says(href: str, url: str) -> None:
    reader = LinkReader()
    body = f'<a href="{href}">x</a>'.encode()
    expected = _expected(href, url)
    assert list(reader.read(body, "utf-8", url).links) == expected
    assert list(reader.read(body, "utf-8", url).links) == expected  # from the cache


def _expected(href: str, url: str) -> list[str]:
    if not href.strip().partition("#")[0]:
        return []
    try:
        return [canonical_url(href, url)]
    except ValueError:
        return []


@given(st.lists(HREFS, max_size=5), st.lists(st.sampled_from(["http://h/a/b", "http://g/a/c/"])))
def test_a_cache_that_other_pages_filled_changes_nothing(hrefs: list[str], urls: list[str]) -> None:
    reader = LinkReader(max_cached=3)
    body = "".join(f'<a href="{href}">x</a>' for href in hrefs).encode()
    for url in urls:
        assert reader.read(body, "utf-8", url) == _read(body, "utf-8", url)


@given(st.binary(max_size=300), st.text(max_size=20))
def test_any_page_at_any_address_can_be_read(body: bytes, url: str) -> None:
    _read(body, "utf-8", url)
    assert _links(b"<a href=x>the next page</a>", "utf-8") == ["http://h/a/x"]


HOSTILE = {
    "anchors": (b"".join(b"<a href='/%d'>x</a>" % i for i in range(50_000)), 50_000),
    "nested divs": (b"<a href=x></a>" + b"<div>" * 300_000 + b"<a href=y></a>", 2),
    "ends of nothing": (b"<a href=x></a>" + b"<div>" * 300_000 + b"</span>" * 300_000, 1),
    "attributes": (b"<a " + b" ".join(b"a%d=1" % i for i in range(100_000)) + b" href=x>", 1),
    "one line": (b"<p>" + b"x" * 12_000_000 + b"<a href=x>", 1),
    "one link": (b"<a href='" + b"x" * 12_000_000 + b"'></a><a href=x>", 1),
    "escapes": (b"<a href=x>" + b"".join(b"<a href='%%z%d'>" % i for i in range(9_999)), 10_000),
    "labels": (b"<a href='http://" + b"xn--a." * 1_000 + b"/'></a><a href=x>", 1),
    "ampersands": (b"<a href=x>" + b"&" * 3_000_000, 1),
    "comments": (b"<a href=x>" + b"<!--" * 2_000_000, 1),
}


@pytest.mark.timeout(10)
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_page_takes_no_square_time(name: str) -> None:
    body, num_links = HOSTILE[name]
    assert len(_links(body, "utf-8")) == num_links


@pytest.mark.timeout(10)
def test_tags_that_cannot_be_counted_are_bounded_too() -> None:
    _read(("<div>" * 100_000 + "</x>" * 100_000).encode("utf-16"), "utf-16")


def test_links_deep_down_are_found() -> None:
    assert _links("<div>" * 900 + "<a href=x>" + "</div>" * 900) == ["http://h/a/x"]


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
