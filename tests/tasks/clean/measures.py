"""Real pages with known text, and how much of it an extractor finds. Also for benchmarks."""

from __future__ import annotations

import gzip
import importlib
import json
import pydoc
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from lxml import etree

from tasks.clean.text import decode

ARTICLES = Path(__file__).parents[3].parent / "shared" / "data" / "article-extraction"
MANUAL = Path("/usr/share/doc/python3.11/html")
"""Of the Debian package python3.11-doc."""

_MODULES = ("argparse", "asyncio.tasks", "csv", "decimal", "http.client", "json", "logging", "os")


@dataclass(frozen=True)
class Known:
    """A page, and the text that a person, or its source, says it has."""

    name: str
    html: str
    text: str


@dataclass(frozen=True)
class Score:
    """Means over pages, 0-1."""

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        return 2 * self.precision * self.recall / ((self.precision + self.recall) or 1)

    def __str__(self) -> str:
        return f"F1 {self.f1:.4f} (precision {self.precision:.4f}, recall {self.recall:.4f})"


def articles() -> list[Known]:
    """The 181 pages of the article extraction benchmark, in the order of their names."""
    truth = json.loads((ARTICLES / "ground-truth.json").read_text(encoding="utf-8"))
    return [Known(name, _article(name), truth[name]["articleBody"]) for name in sorted(truth)]


def _article(name: str) -> str:
    packed = (ARTICLES / "html" / f"{name}.html.gz").read_bytes()
    return decode(gzip.decompress(packed), "utf-8")


def manual(first: int = 0, step: int = 6) -> list[Known]:
    """Every sixth page of Python's library reference, 53 of 317, with its source's words."""
    pages = []
    for path in sorted((MANUAL / "library").glob("*.html"))[first::step]:
        source = MANUAL / "_sources" / "library" / f"{path.stem}.rst.txt"
        text = words_of_rst(source.read_text(encoding="utf-8"))
        pages.append(Known(path.stem, path.read_text(encoding="utf-8"), text))
    return pages


def pydoc_pages() -> list[Known]:
    """Pages of `python -m pydoc`: tables in tables. All their words are text."""
    pages = []
    for name in _MODULES:
        module = importlib.import_module(name)
        page = pydoc.HTMLDoc()
        html = page.page(name, page.document(module, name))
        pages.append(Known(name, html, _body(html)))
    return pages


def _body(html: str) -> str:
    body = etree.HTML(html).find("body")
    return "" if body is None else "".join(map(str, body.itertext()))


_NO_WORDS = (
    re.compile(r"^( *)\.\. (?:index|toctree)::.*(?:\n(?:\1 +.*|\s*(?=\n)))*", re.M),
    re.compile(r"^( *)\.\. (?![\w:-]+::|\[|_).*(?:\n\1 +\S.*)*", re.M),  # comments
    re.compile(r"^ *\.\. _.*$", re.M),  # targets of links
    re.compile(r"^ +:[\w-]+:.*$", re.M),  # options of directives
    re.compile(r":[a-z:]+:(?=`)"),  # roles
    re.compile(r"^ *\.\. [\w:-]+::", re.M),  # names of directives
)


def words_of_rst(source: str) -> str:
    """Without most of the markup's own words. What directives include or write is not in it."""
    for pattern in _NO_WORDS:
        source = pattern.sub("", source)
    return source


def shingles(text: str, size: int = 4) -> Counter[tuple[str, ...]]:
    """Runs of four words; a text of fewer is one run (even an empty one), as the benchmark has it.

    Source: scrapinghub/article-extraction-benchmark, evaluate.py.
    """
    words = re.findall(r"\w+", text)
    return Counter(tuple(words[i : i + size]) for i in range(max(1, len(words) - size + 1)))


def words(text: str) -> Counter[str]:
    """How often each word comes."""
    return Counter(re.findall(r"\w+", text))


def score(
    pages: Iterable[Known], found: Iterable[str], units: Callable[[str], Counter[Any]] = shingles
) -> Score:
    """How much of the pages' text was found, and how much of what was found is their text."""
    both = [(units(page.text), units(text)) for page, text in zip(pages, found, strict=True)]
    hits = [((true & got).total(), true.total(), got.total()) for true, got in both]
    return Score(
        mean(hit / got if got else 0.0 for hit, _, got in hits),
        mean(hit / true if true else 1.0 for hit, true, _ in hits),
    )


# A new sentence does not begin with a small letter. Two patterns, each begun by one set of
# characters: five times as fast as their union.
_INNER_END = re.compile(r"""[.!?]["'”’)\]]* +(?=[^\sa-z])""")  # noqa: RUF001
_INNER_FULL_WIDTH_END = re.compile("[。！？][」』”’）]*(?=\\S)")  # noqa: RUF001


def count_sentences(text: str, num_lines: int) -> int:
    """Sentences of a text of so many lines, as C4's filter counts them: none goes on in the next
    line."""
    num_inner = len(_INNER_END.findall(text))
    if not text.isascii():
        num_inner += len(_INNER_FULL_WIDTH_END.findall(text))
    return num_lines + num_inner
