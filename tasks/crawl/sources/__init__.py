"""Places that pages come from. A new one: a module here with a typed config, and one line below."""

from __future__ import annotations

from tasks.crawl.sources.web import WebSource

Source = WebSource  # becomes a union, discriminated by `kind`, with the second member

__all__ = ["Source", "WebSource"]
