from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.crawl.live.soft_404 import THRESHOLD, Shingles, alike, fingerprint, probe_path

SHELL = """<html><head><title>{title}</title><style>p {{ color: red }}</style>
<script>var t = "{time}";</script></head><body><!-- rendered {time} --><nav><a href=/>Home</a>
<a href=/news>News</a> <a href=/about>About us</a></nav><h1>{title}</h1><p>{text}</p>
<footer>Served in {time} ms, all rights reserved by the people of the example company</footer>"""
MISSING = (
    "Sorry, we could not find {path}. Try the search or go back to the front page of our site."
)


def _page(title: str, text: str, time: int) -> bytes:
    return SHELL.format(title=title, text=text, time=time).encode()


def _missing(path: str, time: int) -> Shingles:
    body = _page("Page not found", MISSING.format(path=path), time)
    return fingerprint(body, f"http://h{path}")


def test_two_answers_for_missing_pages_are_alike() -> None:
    probe = _missing(probe_path("h"), 12)
    assert alike(probe, _missing("/old/article-on-cats?ref=x", 4711)) >= THRESHOLD


def test_an_article_in_the_same_shell_is_not() -> None:
    text = "The committee met on Tuesday and agreed to plant forty trees along the river bank."
    article = fingerprint(_page("Trees for the river", text, 3), "http://h/trees")
    assert alike(_missing(probe_path("h"), 12), article) < THRESHOLD


def test_alike_is_the_share_of_common_shingles() -> None:
    a = fingerprint(b"one two three four five", "http://h/")
    b = fingerprint(b"<p>ONE two three <b>four</b> six</p>", "http://h/")
    assert alike(a, b) == 2 / 4
    assert alike(a, a) == 1.0


def test_short_pages_have_one_shingle() -> None:
    assert len(fingerprint(b"gone", "http://h/")) == 1
    assert alike(fingerprint(b"gone", "http://h/"), fingerprint(b"moved", "http://h/")) == 0.0
    assert alike(fingerprint(b"", "http://h/"), fingerprint(b"<br>404", "http://h/")) == 1.0


def _long(words: range) -> Shingles:
    alphabet = str.maketrans("0123456789", "abcdefghij")
    text = " ".join(str(number).translate(alphabet) for number in words)
    return fingerprint(text.encode(), "http://h/")


def test_long_pages_are_estimated_from_a_sample() -> None:
    a, b = _long(range(30_000)), _long(range(10_000, 40_000))
    assert len(a) == 2_000
    assert alike(a, b) == pytest.approx(0.5, abs=0.05)
    assert alike(a, a) == 1.0


def test_the_probe_is_the_same_every_time() -> None:
    assert probe_path("example.org") == "/phusa-4037554f7ebcbf45"
    assert probe_path("example.org") != probe_path("example.net")


@given(st.binary(max_size=300), st.text(max_size=20))
def test_any_bytes_have_a_fingerprint(body: bytes, url: str) -> None:
    page = fingerprint(body, url)
    assert page == fingerprint(body, url)
    assert alike(page, page) == 1.0
    assert 0.0 <= alike(page, fingerprint(b"one two three", "http://h/")) <= 1.0


@pytest.mark.timeout(10)
@pytest.mark.parametrize("part", [b"<script>", b"<!--", b"<", b"a ", b"<a b=", b"x", b"<style></"])
def test_hostile_pages_take_no_square_time(part: bytes) -> None:
    fingerprint(part * 3_000_000, "http://h/")
