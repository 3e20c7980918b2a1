"""WARC and WET files as others write them, whole and broken."""

from __future__ import annotations

import gzip
import io
import zlib
from datetime import UTC, datetime
from pathlib import Path

import brotli
import pytest
from backports import zstd
from fastwarc.warc import ArchiveIterator
from hypothesis import given
from hypothesis import strategies as st
from warcio.recordbuilder import RecordBuilder
from warcio.warcwriter import WARCWriter

from tasks.crawl.captures import Capture, RejectedUrl
from tasks.crawl.inputs.warc import read_warc
from tests.tasks.crawl.sources.warcs import (
    HTML,
    LIMIT,
    chunked,
    packed,
    read,
    record,
    response,
    wet,
)

PAGE = b"<html><body><p>The river.</p></body></html>" * 5
URLS = [f"http://a.test/{i}" for i in range(6)]
SIX = [response(url, b"<p>%s</p>" % url.encode()) for url in URLS]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "crawl.warc.gz"


# --- whole files --------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["plain", "members", "one member"])
def test_every_layout_gives_the_same_pages(file: Path, layout: str) -> None:
    whole = b"".join(SIX)
    members = b"".join(packed(*SIX))
    data = {"plain": whole, "members": members, "one member": gzip.compress(whole)}[layout]
    pages, rejects = read(file, data)
    assert {url: page.body.decode() for url, page in pages.items()} == {
        url: f"<p>{url}</p>" for url in URLS
    }
    assert rejects == []


def test_what_is_known_of_a_page(file: Path) -> None:
    headers = {
        "Content-Type": "text/html; charset=ISO-8859-1",
        "ETag": '"x"',
        "last-modified": "Mon, 01 Jan 2024 00:00:00 GMT",
        "X-Odd": "caf\xe9",
    }
    pages, _ = read(file, response("HTTP://A.test:80/b/../c?utm_source=x&z=1#top", PAGE, headers))
    page = pages["http://a.test/c?z=1"]
    assert (page.content_type, page.charset) == ("text/html", "ISO-8859-1")
    assert page.fetched_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert (page.status, page.reason, page.etag) == (200, "OK", '"x"')
    assert page.last_modified == "Mon, 01 Jan 2024 00:00:00 GMT"
    assert ("ETag", '"x"') in page.headers
    assert page.body == PAGE


def test_other_records_are_no_pages_and_no_rejects(file: Path) -> None:
    others = [
        record("warcinfo", "x", b"software: x\r\n", Content_Type="application/warc-fields"),
        record("request", URLS[0], b"GET / HTTP/1.1\r\n\r\n", Content_Type="application/http"),
        record("metadata", URLS[0], b"fetchTimeMs: 3\r\n"),
        record("revisit", URLS[0], b"HTTP/1.1 304 Not Modified\r\n\r\n"),
        record("continuation", URLS[0], b"x"),
    ]
    pages, rejects = read(file, b"".join(packed(*others, SIX[0])))
    assert (list(pages), rejects) == (URLS[:1], [])


def test_a_wet_file(file: Path) -> None:
    info = record("warcinfo", "x", b"a: b\r\n", Content_Type="application/warc-fields")
    data = packed(info, wet("http://a.test/vi", "Phù sa"), wet("http://a.test/", ""))
    pages, rejects = read(file, b"".join(data))
    page = pages["http://a.test/vi"]
    assert (page.body.decode(), page.content_type, page.charset) == (
        "Phù sa",
        "text/plain",
        "utf-8",
    )
    assert page.status == 0
    assert [(r.url, r.reason) for r in rejects] == [("http://a.test/", "empty_body")]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("text/markdown", None), ("text/html", None), ("image/png", "not_html"), ("", "not_html")],
)
def test_resources_of_text(file: Path, kind: str, reason: str | None) -> None:
    pages, rejects = read(file, record("resource", URLS[0], b"# x", Content_Type=kind))
    assert [r.reason for r in rejects] == ([reason] if reason else [])
    assert len(pages) == (reason is None)


def test_wget_of_old_writes_brackets(file: Path) -> None:
    pages, _ = read(file, response("<http://a.test/x>"))
    assert list(pages) == ["http://a.test/x"]


def test_line_feeds_alone_are_enough(file: Path) -> None:
    block = b"HTTP/1.1 200 OK\nContent-Type: text/html\n\n<p>x</p>"
    data = record("response", URLS[0], block, Content_Type="application/http").replace(
        b"\r\n", b"\n"
    )
    pages, rejects = read(file, data * 2)
    assert (list(pages), rejects) == (URLS[:1], [])


def test_a_peers_file(file: Path) -> None:
    """warcio writes it, FastWARC alone and this reader read the same from it."""
    buffer = io.BytesIO()
    builder = RecordBuilder(warc_version="WARC/1.1")
    writer = WARCWriter(buffer, gzip=True, warc_version="WARC/1.1")
    writer.write_record(builder.create_warcinfo_record("x.warc.gz", {"software": "x"}))
    for url in URLS:
        made = builder.create_warc_record(
            url, "resource", io.BytesIO(PAGE), len(PAGE), warc_content_type="text/html"
        )
        writer.write_record(made)
    pages, rejects = read(file, buffer.getvalue())
    peer = {
        record.headers.get("WARC-Target-URI"): record.reader.read()
        for record in ArchiveIterator(io.BytesIO(buffer.getvalue()))
        if record.headers.get("WARC-Type") == "resource"
    }
    assert ({url: page.body for url, page in pages.items()}, rejects) == (peer, [])


# --- bodies -------------------------------------------------------------------------------------

_RAW = zlib.compressobj(wbits=-15)
RAW_DEFLATE = _RAW.compress(PAGE) + _RAW.flush()


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Transfer-Encoding": "chunked"}, chunked(PAGE)),
        ({"Transfer-Encoding": "chunked"}, chunked(PAGE, extension=b";a=b")),
        ({"Transfer-Encoding": "chunked"}, chunked(PAGE) + b"Trailer: x\r\n\r\n"),
        (
            {"transfer-encoding": "Chunked", "content-encoding": "gzip"},
            chunked(gzip.compress(PAGE, mtime=0)),
        ),
        ({"Content-Encoding": "gzip"}, gzip.compress(PAGE, mtime=0)),
        ({"Content-Encoding": "x-gzip"}, gzip.compress(PAGE, mtime=0)),
        ({"Content-Encoding": "deflate"}, zlib.compress(PAGE)),
        ({"Content-Encoding": "deflate"}, RAW_DEFLATE),
        ({"Content-Encoding": "br"}, brotli.compress(PAGE)),
        ({"Content-Encoding": "zstd"}, zstd.compress(PAGE)),
        ({"Content-Encoding": "gzip, br"}, brotli.compress(gzip.compress(PAGE, mtime=0))),
        ({"Content-Encoding": "identity"}, PAGE),
        # Stored decoded, with the headers that the server sent.
        ({"Content-Encoding": "gzip"}, PAGE),
        ({"Transfer-Encoding": "chunked", "Content-Encoding": "gzip"}, PAGE),
        ({"Content-Length": "99999"}, PAGE),
    ],
)
def test_bodies_are_decoded(file: Path, headers: dict[str, str], body: bytes) -> None:
    data = packed(response(URLS[0], body, HTML | headers), SIX[1])
    pages, rejects = read(file, b"".join(data))
    assert rejects == []
    assert pages[URLS[0]].body == PAGE
    assert URLS[1] in pages


@pytest.mark.parametrize(
    ("headers", "body", "reason"),
    [
        ({"Transfer-Encoding": "chunked"}, chunked(PAGE)[:-30], "truncated"),
        ({"Content-Encoding": "gzip"}, gzip.compress(PAGE, mtime=0)[:-12], "truncated"),
        ({"Content-Encoding": "br"}, brotli.compress(PAGE)[:-3], "truncated"),
        ({"Content-Encoding": "deflate"}, b"no such thing", "undecodable"),
        ({"Content-Encoding": "sdch"}, PAGE, "undecodable"),
    ],
)
@pytest.mark.parametrize("is_packed", [True, False])
def test_a_body_that_cannot_be_decoded_costs_itself(
    file: Path, headers: dict[str, str], body: bytes, reason: str, is_packed: bool
) -> None:
    records = [response(URLS[0], body, HTML | headers), SIX[1]]
    pages, rejects = read(file, b"".join(packed(*records) if is_packed else records))
    assert [(r.url, r.reason) for r in rejects] == [(URLS[0], reason)]
    assert list(pages) == [URLS[1]]


def test_bombs_are_too_large(file: Path) -> None:
    bomb = gzip.compress(b"\0" * (1 << 26))
    records = [
        response(URLS[0], bomb, HTML | {"Content-Encoding": "gzip"}),
        response(URLS[1], b"x" * (LIMIT + 1)),
        response(URLS[2], b"x" * (LIMIT + (4 << 20))),
        response(URLS[3], b"x" * LIMIT),
        response(URLS[4], b"x" * (LIMIT + (4 << 20)), {"Content-Type": "video/mp4"}),
    ]
    pages, rejects = read(file, b"".join(packed(*records)))
    assert list(pages) == [URLS[3]]
    assert [(r.url, r.reason) for r in rejects] == [
        *((url, "too_large") for url in URLS[:3]),
        (URLS[4], "not_html"),
    ]


@given(st.binary(max_size=300), st.integers(1, 50))
def test_chunks_of_any_size(
    tmp_path_factory: pytest.TempPathFactory, body: bytes, size: int
) -> None:
    file = tmp_path_factory.getbasetemp() / "chunks.warc"
    headers = HTML | {"Transfer-Encoding": "chunked"}
    pages, rejects = read(file, response(URLS[0], chunked(body, size), headers))
    assert [page.body for page in pages.values()] == ([body] if body else [])
    assert [r.reason for r in rejects] == ([] if body else ["empty_body"])


# --- what is no page ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "reason", "value"),
    [
        (response(URLS[0], status="404 Not Found"), "http_404", "404"),
        (response(URLS[0], status="503"), "http_503", "503"),
        (response(URLS[0], headers={"Location": "/x"}, status="301 Moved"), "redirected", "/x"),
        (response(URLS[0], headers={}, status="302 Found"), "redirected", "no Location"),
        (response(URLS[0], headers={"Content-Type": "image/png"}), "not_html", "image/png"),
        (response(URLS[0], headers={}), "not_html", "no Content-Type"),
        (response(URLS[0], b""), "empty_body", "0 bytes"),
        (response("ftp://a.test/"), "invalid_url", "ftp://a.test/"),
        (response("dns:a.test"), "invalid_url", "dns:a.test"),
        (response(""), "invalid_url", ""),
        (
            record("response", URLS[0], b"not HTTP", Content_Type="application/http"),
            "bad_record",
            None,
        ),
        (record("response", URLS[0], b""), "bad_record", None),
    ],
)
def test_rejects_say_why(file: Path, data: bytes, reason: str, value: str | None) -> None:
    pages, rejects = read(file, b"".join(packed(data, SIX[1])))
    assert list(pages) == [URLS[1]]
    assert [reject.reason for reject in rejects] == [reason]
    assert value is None or rejects[0].value == value


MARKUP = b'<meta name="robots" content="noindex, noarchive"><a rel="license" href="/cc">x</a>'


def test_what_a_page_asks_for_is_recorded_and_obeyed(file: Path) -> None:
    headers = HTML | {"X-Robots-Tag": "noai"}
    file.write_bytes(response(URLS[0], MARKUP, headers) + SIX[1])
    (_, page), _ = read_warc(file.name, file, LIMIT)
    assert isinstance(page, Capture)
    assert page.policy == "noai noarchive noindex"
    assert page.licence == "http://a.test/cc"
    for obey, value in (({"noindex"}, "noindex"), ({"noai", "nofollow"}, "noai")):
        (_, reject), (_, other) = read_warc(file.name, file, LIMIT, obey)
        assert isinstance(reject, RejectedUrl)
        assert (reject.url, reject.reason, reject.value) == (URLS[0], "policy", value)
        assert isinstance(other, Capture)


@pytest.mark.parametrize(
    ("body", "policy", "licence"),
    [
        (b"<META NAME=ROBOTS CONTENT=NOINDEX>", "noindex", ""),
        (b'<meta name="PHUSA" content="noindex">', "noindex", ""),
        (b'<meta name="tdm-reservation" content="1">', "tdm-reservation", ""),
        (b'<a REL="License" href="/cc">x</a>', "", "http://a.test/cc"),
        (b'<meta name="dc.rights" content="http://b.test/cc">', "", "http://b.test/cc"),
        ('<meta name="robots" content="noindex">'.encode("utf-16"), "noindex", ""),
        (b"<p>nothing of the kind</p>", "", ""),
    ],
)
def test_every_way_to_ask_is_seen(file: Path, body: bytes, policy: str, licence: str) -> None:
    """Though the markup of most pages is not even looked at."""
    headers = {"Content-Type": "text/html; charset=utf-16"} if b"\0" in body else HTML
    pages, _ = read(file, response(URLS[0], body, headers))
    assert (pages[URLS[0]].policy, pages[URLS[0]].licence) == (policy, licence)
