"""Places that pages come from. A new one: a module here with a typed config, and one line below."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tasks.crawl.sources.dataset import DatasetSource
from tasks.crawl.sources.files import FilesSource
from tasks.crawl.sources.records import RecordsSource
from tasks.crawl.sources.warc import WarcSource
from tasks.crawl.sources.web import WebSource

Source = Annotated[
    WebSource | WarcSource | FilesSource | RecordsSource | DatasetSource,
    Field(discriminator="kind"),
]

__all__ = ["DatasetSource", "FilesSource", "RecordsSource", "Source", "WarcSource", "WebSource"]
