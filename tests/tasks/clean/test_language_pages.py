"""Languages of real pages: two manuals in the translations that Debian's packages bring.

A folder's name says what its pages were to be translated into, but translators stop: what is still
in English stands there word for word as in the English page. A page counts as English if most of
its prose (paragraphs, headings; not listings) does, else as its folder's language. Pages with more
than a third in each are in two languages and do not count.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from resiliparse.parse.html import HTMLTree

from tasks.clean.extractors import Resiliparse
from tasks.clean.language import LanguageDetector, plain_code, whole_language
from tasks.clean.text import decode, tidy

HANDBOOK = Path("/usr/share/doc/debian-handbook/html"), "en-US"
GUIDE = Path("/usr/share/doc/installation-guide-amd64"), "en"
MANUALS = HANDBOOK, GUIDE
EVERY = 6
FLOOR = 0.988  # they only go up; 0.9857 of all 4 205 pages, 0.9892 and 0.9831 of the two kinds
ENGLISH_FLOOR, OTHERS_FLOOR = 0.992, 0.985

pytestmark = pytest.mark.skipif(
    not all((folder / english).is_dir() for folder, english in MANUALS),
    reason="needs the Debian packages debian-handbook and installation-guide-amd64",
)


@cache
def _prose(page: Path) -> tuple[str, ...]:
    tree = HTMLTree.parse(decode(page.read_bytes(), ""))
    assert tree.body is not None
    for element in tree.body.query_selector_all("pre, .navheader, .navfooter, .docnav"):
        element.decompose()
    elements = tree.body.query_selector_all("p, div.para, h1, h2, h3, h4, dt")
    return tuple(filter(None, (" ".join(element.text.split()) for element in elements)))


def _untranslated(page: Path, english: Path) -> float:
    """Share of the characters of a page's prose that stand in its English original."""
    original, prose = set(_prose(english)), _prose(page)
    same = sum(len(part) for part in prose if part in original)
    return same / max(sum(map(len, prose)), 1)


def _pages() -> Iterator[tuple[Path, str]]:
    """Pages in one language, and which."""
    for manual, english in MANUALS:
        for page in sorted(manual.glob("*/*.html"))[::EVERY]:
            language = plain_code(page.parent.name)
            share = _untranslated(page, manual / english / page.name)
            if language == "en" or share >= 2 / 3:
                yield page, "en"
            elif share <= 1 / 3:
                yield page, language


def test_pages_of_translated_manuals() -> None:
    detector, extractor = LanguageDetector(), Resiliparse()
    outcomes: dict[bool, list[bool]] = {True: [], False: []}
    wrong: list[tuple[Path, str]] = []
    for page, expected in _pages():
        text = tidy(extractor.extract(decode(page.read_bytes(), ""), "").text)
        if len(text) < 200:
            continue
        found = whole_language(detector.detect(text)[0])
        outcomes[expected == "en"].append(found == expected)
        if found != expected:
            wrong.append((page, found))
    english, others = outcomes[True], outcomes[False]
    print(f"{len(english)} + {len(others)} pages; wrong:", *wrong, sep="\n")
    assert len(english) > 250 and len(others) > 350
    assert sum(english) / len(english) >= ENGLISH_FLOOR
    assert sum(others) / len(others) >= OTHERS_FLOOR
    assert (sum(english) + sum(others)) / (len(english) + len(others)) >= FLOOR
