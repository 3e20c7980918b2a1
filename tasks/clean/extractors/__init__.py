"""Ways to take text from HTML. A new one: a module here with a typed config, and one line below."""

from __future__ import annotations

from tasks.clean.extractors.auto import Auto
from tasks.clean.extractors.extraction import Extraction
from tasks.clean.extractors.resiliparse import Resiliparse
from tasks.clean.extractors.trafilatura import Trafilatura

Extractor = Auto | Trafilatura | Resiliparse

__all__ = ["Auto", "Extraction", "Extractor", "Resiliparse", "Trafilatura"]
