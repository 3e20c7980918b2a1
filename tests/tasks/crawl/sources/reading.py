"""A whole source at once, without a catalogue."""

from __future__ import annotations

from pathlib import Path

from tasks.crawl.captures import Capture, RejectedUrl
from tasks.crawl.ingest import FileSource


def read_all(source: FileSource, scratch: Path) -> tuple[dict[str, Capture], list[RejectedUrl]]:
    """The pages of a source by URL, in its order, and its rejects."""
    scratch.mkdir(exist_ok=True)
    found = [what for file in source.inputs() for _, what in source.read(file, scratch)]
    pages = {what.url: what for what in found if isinstance(what, Capture)}
    return pages, [what for what in found if isinstance(what, RejectedUrl)]
