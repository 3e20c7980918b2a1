"""The hosts of a crawl, for people: those of most pages; hosts.parquet has all."""

from __future__ import annotations

from collections.abc import Mapping

from storage.manifest import Manifest

HOST_COLUMNS = {
    "host": "host",
    "pages": "pages",
    "unchanged": "unchanged",
    "page_bytes": "bytes",
    "requests": "requests",
    "errors": "errors",
    "waiting": "left waiting",
    "delay_s": "delay, s",
    "robots": "robots.txt",
}
"""Columns of `records.HOST` that are shown, and what they are called there."""


def host_rows(manifest: Manifest) -> list[list[str]]:
    """Each host's cells, in the order of HOST_COLUMNS; none for what is no crawl of the web."""
    rows = manifest.stats.get("hosts")
    found = rows if isinstance(rows, list) else []
    return [
        [_cell(row[name]) for name in HOST_COLUMNS] for row in found if isinstance(row, Mapping)
    ]


def _cell(value: object) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.1f}" if isinstance(value, float) else str(value)
