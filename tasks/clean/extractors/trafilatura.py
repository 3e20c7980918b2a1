"""trafilatura: text of articles, by rules and fall-backs.

Source: Barbaresi, ACL 2021 (trafilatura); https://trafilatura.readthedocs.io
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Literal

from tasks.clean.extractors.extraction import Extraction
from tasks.clean.extractors.resiliparse import whole_text
from tasks.config import Config, knob

if TYPE_CHECKING:
    from lxml.html import HtmlElement

_BLOCKS = ("p", "li", "td", "th", "dd", "dt", "div", "blockquote", "pre", "br")
_MOST_BLOCKS = 3_000
"""Pages with more are extracted without fall-backs: for each short paragraph one of them, jusText,
looks through all that follow. 4 400 short ones took 2.7 s, twice as many 11."""


class Trafilatura(Config):
    """For articles, posts and news, by the library that `auto` takes its rules from."""

    kind: Literal["trafilatura"] = "trafilatura"
    favor: Literal["balance", "precision", "recall"] = knob(
        "precision",
        "which error to avoid first",
        source="181 pages of the article-extraction benchmark: F1 0.952 against 0.951 (balance)",
    )
    include_tables: bool = knob(True, "keep the text of tables")

    def extract(self, html: str, url: str) -> Extraction:
        """Title and main text of `html`."""
        import trafilatura  # 1 s to import, and only wanted inside the sandbox
        from trafilatura.utils import HTML_PARSER

        from tasks.clean.extractors.walk import is_cut

        tree = trafilatura.load_html(html)
        if tree is None:
            return Extraction("", "")
        if is_cut(HTML_PARSER):  # 256 nested elements: it would drop the rest without a word
            return whole_text(html)
        title = tree.findtext(".//title") or ""
        found = trafilatura.bare_extraction(
            tree,
            url=url,
            include_comments=False,
            include_tables=self.include_tables,
            favor_precision=self.favor == "precision",
            favor_recall=self.favor == "recall",
            deduplicate=False,  # a process-wide cache: output would depend on the order of pages
            with_metadata=False,  # 40 % more time: it looks for dates and authors
            fast=_has_more(tree, _MOST_BLOCKS),
        )
        return Extraction(title, getattr(found, "text", None) or "")


def _has_more(tree: HtmlElement, most: int) -> bool:
    return next(islice(tree.iter(*_BLOCKS), most, None), None) is not None
