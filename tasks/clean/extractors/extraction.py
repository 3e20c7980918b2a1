"""What every extractor gives."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Extraction:
    """Title and text of one page, either may be empty."""

    title: str
    text: str
    extractor: str = ""
    """The way that was chosen for the page; empty: the extractor has but one, its kind."""
    date: str = ""
    author: str = ""
    licence: str = ""
    canonical: str = ""
    """What the page says of itself, see `metadata`; the sandbox adds it, whatever the extractor."""
