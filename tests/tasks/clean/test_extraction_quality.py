"""How good the text is on real pages. The floors lie 0.003 under what was measured, and only rise.

Both halves of the articles have floors of their own: what helps one alone is chance.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import pytest

from tasks.clean.extractors import Auto, Resiliparse, Trafilatura
from tests.tasks.clean.measures import (
    ARTICLES,
    MANUAL,
    Known,
    articles,
    manual,
    pydoc_pages,
    score,
    words,
)

# trafilatura tries urllib3's SOCKS support when it is imported.
pytestmark = pytest.mark.filterwarnings(
    "ignore:SOCKS support in urllib3:urllib3.exceptions.DependencyWarning"
)

with_articles = pytest.mark.skipif(
    not ARTICLES.exists(), reason=f"no benchmark articles at {ARTICLES}"
)
with_manual = pytest.mark.skipif(
    not (MANUAL / "_sources").exists(), reason=f"no Python manual at {MANUAL}: apt python3.11-doc"
)

# Of F1: even pages, odd pages.
ON_ARTICLES = [
    (Auto(), 0.976, 0.972),
    (Trafilatura(), 0.972, 0.949),
    (Resiliparse(), 0.920, 0.905),
]


@with_articles
@pytest.mark.parametrize(
    ("extractor", "even", "odd"), ON_ARTICLES, ids=[each.kind for each, *_ in ON_ARTICLES]
)
def test_articles(extractor: Any, even: float, odd: float) -> None:
    for pages, floor in ((_articles()[::2], even), (_articles()[1::2], odd)):
        found = score(pages, (extractor.extract(page.html, "").text for page in pages))
        assert found.f1 >= floor, str(found)


_NAMES = re.compile(r"""\s(?:class|id|itemprop|role)=(?:"[^"]*"|'[^']*')""")
_FRAMES = re.compile(r"<(/?)(?:article|main)\b")


@with_articles
def test_articles_of_sites_with_other_names() -> None:
    """No class, id or HTML5 element says where the text is: trafilatura has 0.941 of these."""
    pages = (_FRAMES.sub(r"<\1div", _NAMES.sub("", page.html)) for page in _articles())
    found = score(_articles(), (Auto().extract(page, "").text for page in pages))
    assert found.f1 >= 0.948, str(found)


@with_articles
def test_every_article_is_taken_for_one() -> None:
    ways = {page.name: Auto().extract(page.html, "").extractor for page in _articles()[::3]}
    assert set(ways.values()) == {"article"}


@with_manual
@pytest.mark.parametrize(("first", "recall", "precision"), [(0, 0.979, 0.941), (1, 0.974, 0.939)])
def test_manual(first: int, recall: float, precision: float) -> None:
    pages = manual(first)
    texts = [Auto().extract(page.html, "") for page in pages]
    assert {text.extractor for text in texts} == {"reference"}
    found = score(pages, (text.text for text in texts), words)
    assert found.recall >= recall and found.precision >= precision, str(found)


def test_pydoc_pages_keep_their_text() -> None:
    pages = pydoc_pages()
    texts = [Auto().extract(page.html, "") for page in pages]
    assert {text.extractor for text in texts} == {"reference"}
    found = score(pages, (text.text for text in texts), words)
    assert found.recall >= 0.99 and found.precision >= 0.99, str(found)


def test_pydoc_pages_keep_the_indentation_of_code() -> None:
    (page,) = [page for page in pydoc_pages() if page.name == "json"]
    assert '    {\n        "4": 5,\n        "6": 7\n    }' in Auto().extract(page.html, "").text


@cache
def _articles() -> list[Known]:
    return articles()
