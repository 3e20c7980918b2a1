"""The crawl before: what it has need not be sent again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class EarlierCrawl:
    """The files of a sealed crawl."""

    label: str
    pages: Sequence[Path]
    fetches: Sequence[Path]
    warc: Path
    """The folder of its WARC files."""
