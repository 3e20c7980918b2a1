"""The quick and good way: articles and manuals each as they are written, chosen page by page."""

from __future__ import annotations

from typing import Literal

from tasks.clean.extractors.article import article
from tasks.clean.extractors.blocks import parse, read
from tasks.clean.extractors.extraction import Extraction
from tasks.clean.extractors.reference import is_reference, reference
from tasks.clean.extractors.render import render
from tasks.config import Config, knob


class Auto(Config):
    """The default: trafilatura's rules in one walk, and manuals kept whole."""

    kind: Literal["auto"] = "auto"
    way: Literal["by_page", "article", "reference"] = knob(
        "by_page",
        "take every page for an article, or for a page of a manual, or choose for each by what it "
        "says of itself: the program that wrote it, its lists of definitions, its code",
    )

    def extract(self, html: str, url: str) -> Extraction:
        """Title and main text of `html`."""
        root = parse(html)
        if root is None:
            return Extraction("", "")
        page = read(root)
        blocks = reference(page)
        way = self.way
        if way == "by_page":
            way = "reference" if is_reference(page, blocks) else "article"
        if way == "article":
            blocks = article(page)
        return Extraction(page.title, render(blocks), way)
