"""A row of a table to its page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tasks.crawl.captures import RejectedUrl
from tasks.crawl.inputs.found import Found, address_below, bad
from tasks.crawl.inputs.text import page_of
from tasks.crawl.sources.columns import Columns
from tasks.crawl.urls import canonical_url

ROW = "a row with text"


class RowReader:
    """The rows of one table, counted from 0."""

    def __init__(self, name: str, columns: Columns, at: datetime) -> None:
        self._name, self._columns, self._at = name, columns, at

    def place(self, number: int) -> str:
        """`table.jsonl#17`."""
        return f"{self._name}#{number}"

    def read(self, number: int, row: Mapping[str, Any]) -> Found:
        """The page of a row, or why it is none."""
        columns, place = self._columns, self.place(number)
        text = row.get(columns.text_column)
        if not isinstance(text, str | bytes):
            found = "no such column" if columns.text_column not in row else type(text).__name__
            return bad(place, f"{columns.text_column}: {found}", ROW)
        given = None if columns.url_column is None else row.get(columns.url_column)
        try:
            url = self._url(number, given)
        except ValueError:
            expected = f"an absolute http(s) URL in {columns.url_column}"
            return Found(place, RejectedUrl(place, "invalid_url", str(given)[:200], expected))
        # Half a surrogate pair, which JSON can hold, is no character.
        body = text.encode(errors="ignore") if isinstance(text, str) else text
        charset = "utf-8" if isinstance(text, str) else ""
        limit, kind = columns.max_page_bytes, columns.content_type
        return Found(place, page_of(url, body, kind, charset, self._at, limit))

    def _url(self, number: int, given: object) -> str:
        if self._columns.url_column is None:
            return address_below(self._columns.base_url, f"{self._name}/{number}")
        if not isinstance(given, str):
            raise ValueError("no URL")
        return canonical_url(given)
