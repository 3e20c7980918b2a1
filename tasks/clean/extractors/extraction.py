"""What every extractor gives."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Extraction:
    """Title and text of one page, either may be empty."""

    title: str
    text: str
