"""What a crawl is expected to bring, from its source and measured rates."""

from __future__ import annotations

from tasks.foresight import Forecast, Known, Machine, Span

_PACKED = Span(0.12, 0.35)
"""Bytes of WARC and index for one of a body: 0.17 of pydoc's pages."""


def forecast(known: Known, machine: Machine) -> Forecast | None:
    """Expect what the source does; None where it lies in a bucket."""
    content = known.knobs["source"].expected()
    if content is None:
        return None
    memory = Span(80e6, 300e6)  # 99 MB after 10,000 pages, 149 MB after 100,000; the demo 211 MB
    kept = content.body * _PACKED
    return Forecast(content.pages, "pages", content.text, kept, content.seconds, memory)
