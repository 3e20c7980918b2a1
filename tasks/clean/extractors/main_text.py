"""The text of a page: an article's or a manual's, each as it is written."""

from __future__ import annotations

from typing import Literal

from tasks.clean.extractors.article import article
from tasks.clean.extractors.extraction import Extraction
from tasks.clean.extractors.reference import is_reference, reference
from tasks.clean.extractors.render import render
from tasks.clean.extractors.walk import parse, read

Way = Literal["by_page", "article", "reference"]


def main_text(html: str, way: Way, markdown: bool = False) -> Extraction:
    """Title and text; the way that was taken is told."""
    root = parse(html)
    if root is None:
        return Extraction("", "")
    page = read(root)
    blocks = reference(page)
    if way == "by_page":
        way = "reference" if is_reference(page, blocks) else "article"
    if way == "article":
        blocks = article(page)
    return Extraction(page.title, render(blocks, markdown), way)
