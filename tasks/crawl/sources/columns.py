"""Which columns of a table are pages: the same for files of records and for datasets."""

from __future__ import annotations

from typing import Literal

from tasks.config import Config, knob
from tasks.crawl.sources.files import BASE_PATTERN, BASE_URL


class Columns(Config):
    """What a row's page is made of."""

    text_column: str = knob("text", "the column with the text")
    url_column: str | None = knob(
        None, "the column with the http(s) URL. Null: `base_url`, file and number of the row"
    )
    content_type: Literal["text/plain", "text/html", "text/markdown"] = knob(
        "text/plain", "what the text is; HTML goes through clean's extractor"
    )
    base_url: str = knob("file:///", BASE_URL, pattern=BASE_PATTERN)
    max_page_bytes: int = knob(
        10_000_000, "bytes of one text in UTF-8; a larger one is rejected", ge=1_000
    )

    @property
    def wanted(self) -> list[str]:
        """The names of the columns that are read."""
        return [self.text_column, *([self.url_column] if self.url_column is not None else [])]
