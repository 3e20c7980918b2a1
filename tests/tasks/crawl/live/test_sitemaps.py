from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.crawl.live.sitemaps import MAX_BYTES, MAX_URLS, Listing, read_listing
from tasks.crawl.urls import canonical_url

AT = "http://h/sitemaps/1.xml"


def _read(body: bytes | str) -> Listing:
    return read_listing(body.encode() if isinstance(body, str) else body, AT)


def _urls(body: bytes | str) -> list[str]:
    return [url for url, _ in _read(body).urls]


SITEMAP = """<?xml version="1.0" encoding="UTF-8"?>
<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"
        xmlns:image="http://www.google.com/schemas/sitemap-image/1.1"
        xmlns:xhtml="http://www.w3.org/1999/xhtml">
  <url><loc> HTTP://h:80/a </loc><lastmod>2024-05-01</lastmod>
    <image:image><image:loc>http://h/a.png</image:loc></image:image>
    <xhtml:link rel="alternate" hreflang="DE" href="http://h/de/a"/>
    <xhtml:link rel="alternate" hreflang="fr" href="/fr/a"/>
    <xhtml:link rel="canonical" href="/canonical"/><xhtml:link rel="alternate" href="/none"/></url>
  <!-- <url><loc>http://h/comment</loc></url> -->
  <url><priority>0.5</priority><loc><![CDATA[http://h/b?x=1&y=2]]></loc></url>
  <url><loc>http://h/a</loc><lastmod>2020-01-01</lastmod></url>
  <url><loc>mailto:x@h</loc></url><url/><url><loc/></url>
</urlset>"""


def test_a_sitemap() -> None:
    assert _read(SITEMAP) == Listing(
        urls=(("http://h/a", "2024-05-01"), ("http://h/b?x=1&y=2", "")),
        alternates=(("de", "http://h/de/a"), ("fr", "http://h/fr/a")),
    )


@pytest.mark.parametrize(
    "body",
    [
        SITEMAP.replace('xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"', ""),
        SITEMAP.replace('xmlns="http', 'xmlns="https'),
        "\n\n" + SITEMAP,
        "\ufeff" + SITEMAP,
        SITEMAP.replace("UTF-8", "utf-16").encode("utf-16"),
        SITEMAP.replace("</urlset>", ""),
        gzip.compress(SITEMAP.encode(), mtime=0),
        gzip.compress(SITEMAP.encode(), mtime=0)[:-12],
    ],
)
def test_the_same_sitemap_in_other_clothes(body: bytes | str) -> None:
    assert _read(body) == _read(SITEMAP)


def test_an_index() -> None:
    body = (
        "<sitemapindex><sitemap><loc>http://h/1.xml</loc><lastmod>2024</lastmod></sitemap>"
        "<sitemap><loc>/2.xml.gz</loc></sitemap><sitemap><loc>/2.xml.gz</loc></sitemap>"
    )
    assert _read(body) == Listing(sitemaps=("http://h/1.xml", "http://h/2.xml.gz"))


def test_text() -> None:
    body = "\ufeffhttp://h/a\r\n\r\n# no\n  https://h/b \nnot a url\nhttp://h/c d\nftp://h/x\nhttp://h/é"
    assert _urls(body) == ["http://h/a", "https://h/b", "http://h/%C3%A9"]


@pytest.mark.parametrize(
    ("body", "urls"),
    [
        (
            "<rss version='2.0' xmlns:atom='http://www.w3.org/2005/Atom'><channel>"
            "<link>http://h/</link><atom:link rel='self' href='/feed'/>"
            "<item><title>1</title><link>http://h/1</link><guid>http://h/?p=1</guid>"
            "<pubDate>Mon, 06 May 2024 10:00:00 GMT</pubDate></item>"
            "<item><guid isPermaLink='true'>http://h/2</guid></item>"
            "<item><guid isPermaLink='false'>http://h/no</guid></item>"
            "<item><guid>tag:3</guid></item></channel></rss>",
            (("http://h/1", "Mon, 06 May 2024 10:00:00 GMT"), ("http://h/2", "")),
        ),
        (
            "<feed xmlns='http://www.w3.org/2005/Atom'><link href='http://h/'/><id>http://h/</id>"
            "<entry><author><uri>http://h/me</uri></author><id>tag:1</id>"
            "<link rel='edit' href='/e'/><link href='/1'/>"
            "<link rel='alternate' href='/1b'/><updated>2024-05-01</updated>"
            "<source><id>http://h/no</id></source></entry><entry><id>http://h/2</id></entry></feed>",
            (("http://h/1", "2024-05-01"), ("http://h/2", "")),
        ),
        (
            "<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#' "
            "xmlns='http://purl.org/rss/1.0/' xmlns:dc='http://purl.org/dc/elements/1.1/'>"
            "<item rdf:about='http://h/1'><dc:date>2024</dc:date></item>"
            "<item rdf:about='http://h/x'><link>http://h/2</link></item></rdf:RDF>",
            (("http://h/1", "2024"), ("http://h/2", "")),
        ),
        (
            json.dumps(
                {
                    "version": "https://jsonfeed.org/version/1.1",
                    "items": [
                        {"id": "1", "url": "/1", "date_published": "2023", "date_modified": "2024"},
                        {"id": "http://h/2"},
                        {"id": 3, "url": None},
                        "x",
                    ],
                }
            ),
            (("http://h/1", "2024"), ("http://h/2", "")),
        ),
    ],
)
def test_feeds(body: str, urls: tuple[tuple[str, str], ...]) -> None:
    assert _read(body) == Listing(urls=urls)


@pytest.mark.parametrize(
    ("body", "urls"),
    [
        ("<urlset><url><loc>/?a=1&b=2</loc></url>", ["http://h/?a=1&b=2"]),
        ("<urlset><url><loc>/?a=1&amp;b=2</loc></url>", ["http://h/?a=1&b=2"]),
        ("<urlset><url><loc>/a</url><url><loc>/b</loc></url>", ["http://h/a", "http://h/b"]),
        ("<urlset><url><loc>/a</loc><url><loc>/b</loc></url>", ["http://h/a", "http://h/b"]),
        ("<urlset><url><loc>/a</loc></url><url><loc>/b", ["http://h/a"]),
        ("<urlset>\0<url><loc>/a</loc></url>", ["http://h/a"]),
        ("<html><body><p>Not found<br></body>", []),
        ("{", []),
        ('{"items": 1}', []),
        ("", []),
    ],
)
def test_what_is_broken_gives_what_it_can(body: str, urls: list[str]) -> None:
    assert _urls(body) == urls


def test_entities_are_not_expanded() -> None:
    levels = "".join(f"<!ENTITY e{i} '{f'&e{i - 1};' * 10}'>" for i in range(1, 12))
    body = (
        f"<!DOCTYPE x [<!ENTITY e0 'http://h/lol'>{levels}<!ENTITY f SYSTEM 'file:///etc/passwd'>]>"
        "<urlset><url><loc>/a</loc></url><url><loc>&e11;</loc></url><url><loc>/&f;</loc></url>"
    )
    assert not any("lol" in url or "root" in url for url in _urls(body))


def test_a_file_has_no_more_than_the_protocol_allows() -> None:
    many = "".join(f"<url><loc>/{i}</loc></url>" for i in range(MAX_URLS + 9))
    assert len(_urls(f"<urlset>{many}")) == MAX_URLS
    assert len(_urls("\n".join(f"http://h/{i}" for i in range(MAX_URLS + 9)))) == MAX_URLS
    assert _urls(f"<urlset><url><loc>/{'x' * 3_000}</loc></url>") == []


HOSTILE = {
    "gzip bomb": gzip.compress(b"<urlset>" + b" " * (2 * MAX_BYTES), 1),
    "deep": b"<urlset>" + b"<a>" * 300_000,
    "no items": b"<urlset>" + b"<a/>" * 300_000,
    "attributes": b"<urlset><url " + b" ".join(b"a%d='1'" % i for i in range(100_000)) + b">",
    "one line": b"<urlset><url><loc>" + b"x" * 12_000_000,
    "alternates": b"<url>" + b"<link rel='alternate' hreflang='de' href='/d'/>" * 100_000,
    "text": b"http://" * 2_000_000,
    "spaces": b" " * 12_000_000 + b"http://h/",
    "json": b'{"items":' + b"[" * 5_000_000,
}


@pytest.mark.timeout(10)
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_take_no_square_time(name: str) -> None:
    assert len(_read(HOSTILE[name]).urls) <= 1


PIECES = st.sampled_from(
    [
        *(
            "<urlset>",
            "<url>",
            "</url>",
            "<loc>",
            "</loc>",
            "http://h/a",
            "/b?c&d",
            "<item>",
            "<link>",
        ),
        *(
            "</item>",
            "<entry>",
            "<link href='x'/>",
            "&amp;",
            "&x;",
            "<![CDATA[",
            "]]>",
            "<?xml?>",
            "{",
        ),
        *("<lastmod>2024", "\n", "é", "\0", "<sitemap>", "</sitemap>", "<xhtml:link hreflang='de'"),
    ]
)


@given(st.lists(PIECES, max_size=12).map("".join).map(str.encode) | st.binary(max_size=200))
def test_any_bytes_give_canonical_urls_each_once(body: bytes) -> None:
    for packed in (body, gzip.compress(body), b"\x1f\x8b" + body):
        listing = _read(packed)
        urls = [url for url, _ in listing.urls]
        for some in (urls, list(listing.sitemaps), list(listing.alternates)):
            assert len(set(some)) == len(some)
        for url in [*urls, *listing.sitemaps, *(url for _, url in listing.alternates)]:
            assert canonical_url(url) == url
