"""The pages of one file of a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tasks.crawl.inputs.epub import read_epub
from tasks.crawl.inputs.found import Found, address_below
from tasks.crawl.inputs.text import charset_of_text, content_type, modified, page_of
from tasks.crawl.live.links import HTML_TYPES


def read_document(name: str, path: Path, base_url: str, max_page_bytes: int) -> Iterator[Found]:
    """The page of a file, or the pages of a book; a URL that no one can spell is a reject."""
    url = address_below(base_url, name)
    kind = content_type(name)
    if kind is None:
        yield from read_epub(path, name, url, base_url, max_page_bytes)
        return
    with path.open("rb") as file:
        body = file.read(max_page_bytes + 1)
    charset = "" if kind in HTML_TYPES else charset_of_text(body)
    yield Found(name, page_of(url, body, kind, charset, modified(path), max_page_bytes))
