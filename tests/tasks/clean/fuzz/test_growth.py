"""Twice the text takes twice the time: no text makes a step wait for minutes.

Only extraction is stopped by the sandbox; whatever reads the text after that has to be quick by
itself. `make fuzz` tries more pieces of text, drawn at random, besides these.
"""

from __future__ import annotations

import random

import pytest

from tasks.clean.extractors import Auto, Resiliparse
from tests.tasks.clean.fuzz.growth import Work, html_works, superlinear, works
from tests.tasks.clean.fuzz.sources import PERSONAL
from tests.tasks.clean.fuzz.test_fuzz import LONG, SEED

TEXTS = (
    *("a", "a ", "a\n", "\n", "# ", "#\t", "  \n", " ", "a. ", "A. ", "...", "…", "。」", '."'),
    *("[1]", "[", "[edit]", "e\u0301", "\u0323\u0301", "\u0301", "\r\n", "\u2028", "\t", "日"),
    *("\u1100\u1161", "1-", "1 ", "1.", "a@", "a@b.", "//a@", "2001:", "AA11 ", "tel 1", "{"),
    *("- ", "use cookies ", "sex ", "free sex ", "privacy policy\n", "the ", "\u0130", "\ufdfa"),
    "a b c d e f g h i j k\n",
)
HTML = (
    *("<div>", "<b><i>", "<a href=x>a</a> ", "<p>a river, and its silt", "<table><tr><td>"),
    *("a<br>", "<span class=meta><div>", "<figure>", "<form>a", "<", "</p></div>", "<!-- a "),
    *("&amp;", "&bogus;", "<b><p></b></p><a>", "<article>a", "<pre>a\n", "<dl><dt>a<dd>b"),
    *("<x a=b ", "<x a='", "<script>", "<blockquote>a", "<ul><li>a", "<svg><p>", "<table><a>"),
    *("<x/>", "\x00", "<font color=a>", "<h1>a"),
)
INDENTED = "<ul><li>a"
"""resiliparse, which reads what is nested deeper than others go, indents an item by its depth, so
the text itself grows too fast: the sandbox stops that, and
`test_nested_lists_are_not_mostly_spaces` what is left of it."""

SAMPLED = 2
MOST = 1_600_000 if LONG else 200_000
"""Pieces of each step in an ordinary run; `make fuzz` takes all, and of texts as many again of
chance. Not of HTML: parsers reopen what was left open for each paragraph, as the standard asks
(`<svg><p><form>a<article>a` 200 000 characters long takes 36 ms, four times as much 870)."""


def _drawn(pieces: tuple[str, ...], name: str) -> list[str]:
    chance = random.Random(f"{SEED}:{name}")
    if not LONG:
        return chance.sample(pieces, SAMPLED)
    if pieces is HTML:
        return [*pieces]
    parts = (*pieces, *PERSONAL, *"aA1 .-@\n")
    mixed = ["".join(chance.choices(parts, k=chance.randrange(2, 5))) for _ in pieces]
    return [*pieces, *mixed]


@pytest.mark.timeout(0 if LONG else 300)
@pytest.mark.parametrize(("name", "work"), list(works()))
def test_texts(name: str, work: Work) -> None:
    found = [superlinear(work, piece, MOST) for piece in _drawn(TEXTS, name)]
    assert not any(found), "\n".join(filter(None, found))


@pytest.mark.timeout(0 if LONG else 300)
@pytest.mark.parametrize(("name", "work"), list(html_works()))
def test_pages(name: str, work: Work) -> None:
    extracts = name not in ("decode", "closed")
    pieces = [p for p in _drawn(HTML, name) if p != INDENTED or not extracts]
    found = [superlinear(work, piece, MOST) for piece in pieces]
    assert not any(found), "\n".join(filter(None, found))


def test_nested_lists_are_not_mostly_spaces() -> None:
    """They were 25 MB of them, for a page of 45 KB, in the process that has no limit."""
    for extractor in (Auto(), Resiliparse(), Resiliparse(main_content=False)):
        found = extractor.extract(INDENTED * 5_000, "")
        assert found.text.count("a") == 5_000
        assert len(found.text) < 500_000


def test_quadratic_time_is_noticed() -> None:
    def work(text: str) -> None:
        for _ in range(len(text) // 20):  # long enough on a fast machine
            text.count("b")

    # One time in eight the clock changes its mind in between.
    assert any(superlinear(work, "a") for _ in range(5))
    assert not superlinear(lambda text: text.count("b"), "a")
