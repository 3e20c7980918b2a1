"""Real documents for the filters' benchmark: HTML of Debian's documentation, and news pages.

Debian packages: libstdc++-12-doc, postgresql-doc-15, python3.11-doc, debian-handbook and
installation-guide-amd64 (the last two in some twenty languages). News: `--articles`, see
`benchmarks.filters`. What is not there is left out.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

from tasks.clean.extractors import Resiliparse
from tasks.clean.filters import Candidate
from tasks.clean.language import LanguageDetector
from tasks.clean.text import decode, tidy

_DOC = Path("/usr/share/doc")
# Folder, and at most so many of its pages, evenly spread over the sorted paths.
_SOURCES = {
    _DOC / "gcc-12-base/libstdc++": 800,
    _DOC / "postgresql-doc-15/html": 500,
    _DOC / "python3.11/html": 400,
    _DOC / "debian-handbook/html": 1100,
    _DOC / "installation-guide-amd64": 700,
}


def documents(articles: Path) -> list[Candidate]:
    """Tidy text of every page that has some, as the clean stage hands it to its filters."""
    detector, found = LanguageDetector(), []
    for url, body in _pages(articles):
        text = tidy(Resiliparse().extract(decode(body, ""), url).text)
        if text:
            found.append(Candidate(text, detector.detect(text)[0], url))
    return found


def _pages(articles: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(articles.glob("html/*.html.gz")):
        yield f"https://news.example.org/{path.name}", gzip.decompress(path.read_bytes())
    for folder, most in _SOURCES.items():
        paths = [path for path in sorted(folder.rglob("*.html*")) if path.is_file()]
        for path in paths[:: max(len(paths) // most, 1)][:most]:
            body = path.read_bytes()
            name = path.relative_to(folder)
            host = f"{folder.parent.name}.example.org"
            yield f"https://{host}/{name}", gzip.decompress(body) if name.suffix == ".gz" else body
