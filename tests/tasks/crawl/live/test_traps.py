from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.crawl.live.traps import Traps, pattern_of
from tasks.crawl.urls import canonical_url


def _traps(counts: dict[str, int] | None = None, max_urls: int = 3) -> Traps:
    return Traps({} if counts is None else counts, year=2026, max_urls_per_pattern=max_urls)


def _verdict(url: str) -> tuple[str, str, str] | None:
    return _traps().verdict(url)


@pytest.mark.parametrize(
    ("url", "verdict"),
    [
        ("http://h/" + "x" * 1992, ("url_length", "2001", "2000")),
        ("http://h/" + "/".join(map(str, range(21))), ("num_segments", "21", "20")),
        ("http://h/a/a/a/", ("repeated_in_a_row", "3", "2")),
        ("http://h/x/a/b/a/b/a/b", ("repeated_in_a_row", "3", "2")),
        ("http://h/a/1/a/2/a/3/a", ("repeated_segment", "4", "3")),
        ("http://h/?" + "&".join(f"p{i}=" for i in range(13)), ("num_parameters", "13", "12")),
        ("http://h/cal/2029/01/", ("calendar_year", "2029", "1600 to 2028")),
        ("http://h/cal/1599-12-31", ("calendar_year", "1599", "1600 to 2028")),
        ("http://h/?date=2150-01-01", ("calendar_year", "2150", "1600 to 2028")),
        ("http://h/?cal_year=2150&m=1", ("calendar_year", "2150", "1600 to 2028")),
    ],
)
def test_what_is_a_trap_at_once(url: str, verdict: tuple[str, str, str]) -> None:
    assert _verdict(url) == verdict


@pytest.mark.parametrize(
    "url",
    [
        "http://h/",
        "http://h/" + "x" * 1991,
        "http://h/" + "/".join(map(str, range(20))),
        "http://h/a/a/",
        "http://h/a/b/a/b",
        "http://h/2011/11/11/eleven",
        "http://h/a/1/a/2/a/3",
        "http://h/?" + "&".join(f"p{i}=" for i in range(12)),
        "http://h/cal/2028/12/31/",
        "http://h/news/1912-04-15",
        "http://h/article/2512/3",
        "http://h/article/45120/03",
        "http://h/?id=2150",
        "http://h/usr/share/doc/libstdc%2B%2B-12-doc/libstdc%2B%2B/user/a01655.html",
    ],
)
def test_what_is_none(url: str) -> None:
    assert _verdict(url) is None


@pytest.mark.parametrize(
    ("url", "pattern"),
    [
        ("http://h/", None),
        ("http://h/articles/123", None),
        ("http://h/a1/b?x=1&y=2", "http://h/a#/b?x&y"),
        ("http://h/a22/b?x=&y", "http://h/a#/b?x&y"),
        ("http://h8:8080/?filter12=a", "http://h8:8080/?filter#"),
        ("http://h/2024/05/31/x", "http://h/#/#/#/x?"),
    ],
)
def test_pattern(url: str, pattern: str | None) -> None:
    assert pattern_of(url) == pattern


def test_a_pattern_gets_so_many_urls_and_counts_are_restored() -> None:
    counts: dict[str, int] = {}
    traps = _traps(counts)
    for day in (1, 2, 3):
        url = f"http://h/2024-05-0{day}/"
        assert traps.verdict(url) is None
        assert traps.verdict(url) is None
        traps.note(url)
    assert traps.verdict("http://h/2025-01-01/") == ("urls_of_pattern", "3", "3")
    assert _traps(dict(counts)).verdict("http://h/2025-01-01/") == ("urls_of_pattern", "3", "3")
    assert traps.verdict("http://g/2025-01-01/") is None


def test_plain_paths_are_not_counted() -> None:
    counts: dict[str, int] = {}
    _traps(counts).note("http://h/articles/17")
    assert counts == {}


@given(st.text(max_size=60))
def test_any_url_has_one_verdict(text: str) -> None:
    try:
        url = canonical_url(f"http://h/{text}")
    except ValueError:
        return
    assert _verdict(url) == _verdict(url)
    assert pattern_of(url) == pattern_of(url)


@pytest.mark.timeout(5)
@pytest.mark.parametrize("part", ["/a", "/2024-01", "?a=1&", "&year=", "1", "/"])
def test_a_long_url_takes_no_square_time(part: str) -> None:
    assert _verdict(f"http://h/{part * 1_000_000}") is not None
    for _ in range(200):
        _verdict("http://h" + (part * 2_000)[:1_900])
