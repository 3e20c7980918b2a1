"""What a page says of itself, in each of the ways to say it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.clean.config import Sandbox
from tasks.clean.extractors import Auto, Extraction, Resiliparse, Trafilatura
from tasks.clean.extractors.extraction import Metadata, read_metadata
from tasks.clean.sandbox import ExtractionSandbox

URL = "https://news.example.org/a/b.html"


_ODD = (
    *(
        "<meta ",
        "name=date ",
        'content="',
        ">",
        "<time datetime=",
        '<a rel="author"',
        "<!--",
        "</a",
    ),
    *('<script type="application/ld+json">', '{"author":', "[" * 2000, "}", "</script"),
    *("http://[", 'rel="license"', "href=", "</head"),
)


def _ld(said: Any) -> str:
    return f'<script type="application/ld+json">{json.dumps(said)}</script>'


def _read(html: str) -> Metadata:
    return read_metadata(html, URL)


@pytest.mark.parametrize(
    "html",
    [
        '<meta property="article:published_time" content="2024-05-01T23:59:00-08:00">',
        "<META CONTENT='2024/05/01' NAME='DC.date.issued'>",
        "<meta name=citation_date content=20240501>",
        _ld({"@type": "NewsArticle", "datePublished": "2024-05-01"}),
        _ld(
            {
                "@graph": [
                    {"@type": "WebPage"},
                    {"@type": ["BlogPosting"], "datePublished": "2024-05-01"},
                ]
            }
        ),
        '<body>2019-01-01 <time class="x" datetime="2024-05-01 10:00">yesterday</time>',
        '<time datetime="2020-01-01">a</time><time itemprop="datePublished" datetime="2024-05-01">',
    ],
)
def test_dates_are_found(html: str) -> None:
    assert _read(html) == Metadata(date="2024-05-01")


@pytest.mark.parametrize(
    "html",
    [
        "<p>Published on 2024-05-01</p>",
        '<meta name="date" content="2024-13-01">',
        '<meta name="date" content="202405011">',
        '<!-- <meta name="date" content="2024-05-01"> -->',
        '<time datetime="2024-05-01">a</time><time datetime="2024-05-02">b</time>',
        _ld({"@type": "Comment", "datePublished": "2024-05-01"}),
        _ld({"@type": "WebPage", "comment": {"datePublished": "2024-05-01"}}),
        '<script type="application/ld+json">{"datePublished": "2024-05-01"',
        '<meta property="article:modified_time" content="2024-05-01">',
    ],
)
def test_nothing_is_guessed(html: str) -> None:
    assert _read(html) == Metadata()


@pytest.mark.parametrize(
    ("html", "author"),
    [
        ('<meta name="author" content="Anna  M&uuml;ller">', "Anna Müller"),
        ('<meta name=dc.creator content="Li, W."><meta name=dc.creator content=Ng>', "Li, W.; Ng"),
        ('<meta property="article:author" content="https://social.example/anna">', ""),
        (_ld({"@type": "Article", "author": [{"name": "A"}, {"name": "B"}, "A"]}), "A; B"),
        ('<p>By <a href="/anna" rel="author"><b>Anna</b> M.</a>', "Anna M."),
        ('<link rel="author" href="/anna">', ""),
        (f'<meta name="author" content="{"x" * 201}">', ""),
    ],
)  # fmt: skip
def test_authors_are_names(html: str, author: str) -> None:
    assert _read(html).author == author


@pytest.mark.parametrize(
    ("html", "licence"),
    [
        ('<a rel="license" href="/by/4.0/">CC</a>', "https://news.example.org/by/4.0/"),
        (_ld({"@type": "Article", "license": "https://cc.example/by"}), "https://cc.example/by"),
        ('<meta name="DC.rights" content="http://cc.example/by">', "http://cc.example/by"),
        ('<meta name="dc.rights" content="All rights reserved">', ""),
        ('<a rel="license" href="javascript:alert(1)/">CC</a>', ""),
    ],
)
def test_licences_are_addresses(html: str, licence: str) -> None:
    assert _read(html).licence == licence


@pytest.mark.parametrize(
    ("html", "canonical"),
    [
        ('<link rel="canonical" href="/1?a=1&amp;b=2">', "https://news.example.org/1?a=1&b=2"),
        ('<LINK href="https://b.example/1" rel="canonical"/>', "https://b.example/1"),
        ('<link rel="canonical" href="/">', "https://news.example.org/"),
        (f'<link rel="canonical" href="{URL}">', ""),
        ('<link rel="canonical" href="">', ""),
        ('<link rel="canonical" href="javascript:/1">', ""),
        ('<!-- <link rel="canonical" href="/1"> -->', ""),
        ('<a rel="canonical" href="/1">1</a>', ""),
        ('<head></head><body><link rel="canonical" href="/1">', ""),
    ],
)
def test_the_pages_own_address_is_a_link_of_its_head(html: str, canonical: str) -> None:
    assert _read(html).canonical == canonical


def test_articles_come_before_the_page_and_the_surest_tag_first() -> None:
    page = {"@type": "WebPage", "datePublished": "2020-01-01"}
    article = {"@type": "Article", "datePublished": "2021-01-01"}
    assert _read(_ld([page, article])).date == "2021-01-01"
    metas = '<meta name="date" content="2022-01-01"><meta name="dc.date" content="2023-01-01">'
    assert _read(metas + _ld(article)).date == "2023-01-01"


@given(st.lists(st.sampled_from(_ODD) | st.text(max_size=5), max_size=20).map("".join))
def test_no_page_is_too_odd(html: str) -> None:
    found = _read(html)
    assert all(isinstance(text, str) for text in (found.date, found.author, found.licence))


@pytest.mark.parametrize("extractor", [Auto(), Resiliparse(), Trafilatura()], ids=lambda e: e.kind)
def test_every_extractor_gives_them(extractor: Any) -> None:
    head = '<meta name="author" content="Anna"><meta name="date" content="2024-05-01">'
    link = '<a rel="license" href="https://cc.example/by">CC</a>'
    html = f"<html><head>{head}</head><body><p>{'A text. ' * 50}</p>{link}</body></html>"
    with ExtractionSandbox(extractor, Sandbox()) as sandbox:
        found = sandbox.extract(html.encode(), "utf-8", URL)
    assert isinstance(found, Extraction)
    assert (found.date, found.author, found.licence) == (
        "2024-05-01",
        "Anna",
        "https://cc.example/by",
    )
