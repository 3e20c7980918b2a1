from __future__ import annotations

from contextlib import suppress
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.crawl.urls import Scope, canonical_url, host_of

PARTS = st.text(st.characters(codec="utf-8"), max_size=12)
URLS = st.builds(
    lambda scheme, host, port, path, query, fragment: (
        f"{scheme}://{host}{port}/{path}?{query}#{fragment}"
    ),
    st.sampled_from(["http", "HTTPS"]),
    st.sampled_from(["h", "Example.ORG", "xn--bcher-kva.de", "[::1]", "127.0.0.1", "bücher.de"]),
    st.sampled_from(["", ":80", ":443", ":8080"]),
    PARTS | st.text("./%2eEfF~a-", max_size=12),
    PARTS | st.text("ab=&+%20;?/é", max_size=12),
    PARTS,
)


@given(URLS)
@example("http://h//evil.org/x")
@example("http://h/%252e%252e/x")
@example("http://h/?a&b=&=c&a=1")
@example("http://h/%%341")
def test_canonical_spelling_is_its_own(url: str) -> None:
    once = canonical_url(url)
    assert canonical_url(once) == once
    assert "#" not in once
    assert once.startswith(("http://", "https://"))
    once.encode()


@given(PARTS, PARTS)
def test_a_path_never_changes_the_host(path: str, base: str) -> None:
    assert host_of(canonical_url(f"http://h.example/{path}")) == "h.example"
    assert host_of(canonical_url(f"/x/{path}", f"http://h.example/{base}")) == "h.example"


@pytest.mark.parametrize(
    ("url", "spelled"),
    [
        ("HTTP://Example.ORG", "http://example.org/"),
        ("http://h:80/x", "http://h/x"),
        ("https://h:443/x", "https://h/x"),
        ("https://h:80/x", "https://h:80/x"),
        ("http://h/a/./b/../c", "http://h/a/c"),
        ("http://h/../../x", "http://h/x"),
        ("http://h/a/%2e%2E/x", "http://h/x"),
        ("http://h/a/..", "http://h/"),
        ("http://h//b///c", "http://h/b/c"),
        ("http://h/x#part", "http://h/x"),
        ("http://h/x?#part", "http://h/x"),
        (" http://h/x\n", "http://h/x"),
        ("http://h/é", "http://h/%C3%A9"),
        ("http://h/%c3%a9", "http://h/%C3%A9"),
        ("http://h/%7Eme/%41", "http://h/~me/A"),
        ("http://h/a%2fb", "http://h/a%2Fb"),
        ("http://h/a b", "http://h/a%20b"),
        ("http://h/x?b=2&a=1", "http://h/x?a=1&b=2"),
        ("http://h/x?a=2&a=1", "http://h/x?a=2&a=1"),
        ("http://h/x?q=a+b", "http://h/x?q=a+b"),
        ("http://h/x?q=a%20b", "http://h/x?q=a+b"),
        ("http://h/x?q=é", "http://h/x?q=%C3%A9"),
        ("http://h/x?q=%FF", "http://h/x?q=%FF"),
        ("http://h/x?page2", "http://h/x?page2"),
        ("http://h/x?q=", "http://h/x?q="),
        ("http://h/x?utm_source=mail&q=1", "http://h/x?q=1"),
        ("http://xn--bcher-kva.de/", "http://bücher.de/"),
    ],
)
def test_known_spellings(url: str, spelled: str) -> None:
    assert canonical_url(url) == spelled


@given(st.text(st.characters(codec="utf-8", categories=["L"]), min_size=1, max_size=8))
def test_escaped_and_plain_twins_are_one(name: str) -> None:
    assert canonical_url(f"http://h/{quote(name)}") == canonical_url(f"http://h/{name}")
    assert canonical_url(f"http://h/?q={quote(name)}") == canonical_url(f"http://h/?q={name}")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "/x",
        "//h/x",
        "http:x",
        "http:///x",
        "file:///etc/passwd",
        "ftp://h/x",
        "javascript:alert(1)",
        "mailto:me@h",
        "data:text/html,x",
        "http://h:99999/",
        "http://h:port/",
        "http://[::1/",
        "http://h/\ud800",
    ],
)
def test_what_cannot_be_fetched_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        canonical_url(url)


@given(st.text(max_size=30), st.sampled_from([None, "http://h/a/b?c"]))
def test_any_text_is_a_url_or_a_value_error(url: str, base: str | None) -> None:
    with suppress(ValueError):
        assert urlsplit(canonical_url(url, base)).scheme in ("http", "https")


@pytest.mark.parametrize(
    ("link", "spelled"),
    [
        ("c", "http://h/a/c"),
        ("/c", "http://h/c"),
        ("../c", "http://h/c"),
        ("?q=1", "http://h/a/b?q=1"),
        ("#x", "http://h/a/b?z=1"),
        ("//g/c", "http://g/c"),
        ("https://g", "https://g/"),
    ],
)
def test_links_are_resolved_against_their_page(link: str, spelled: str) -> None:
    assert canonical_url(link, "http://h/a/b?z=1") == spelled


def test_scope_is_the_seeds_hosts_by_default() -> None:
    scope = Scope(["http://h:80/", "http://g:8080/x"], [], [])
    assert scope.admits("http://h/anything")
    assert scope.admits("http://g:8080/")
    assert not scope.admits("http://g/")
    assert not scope.admits("http://www.h/")


def test_include_replaces_the_hosts_and_exclude_wins() -> None:
    scope = Scope(["http://h/"], [r"/docs/", r"^http://g/"], [r"\.pdf$"])
    assert scope.admits("http://elsewhere/docs/a")
    assert scope.admits("http://g/a")
    assert not scope.admits("http://h/a")
    assert not scope.admits("http://h/docs/a.pdf")
