"""The knobs of the crawl stage."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from tasks.checks import CHECKS_SAY, with_defaults
from tasks.config import Config, knob
from tasks.crawl.checks import DEFAULTS, CrawlCheck
from tasks.crawl.sources import Source

VERSION = 2
INPUTS: tuple[str, ...] = ()


class CrawlConfig(Config):
    """Fetch or read pages, keep them as WARC, index them."""

    source: Source = knob(..., "where the pages come from")
    num_shards: int = knob(
        8, "Parquet files of the page index; later stages map their work over them", ge=1, le=4096
    )
    max_age_h: float | None = knob(
        None,
        "hours after which a crawl is made again; a scheduled run sets it. Null: a crawl is reused "
        "however old it is",
        ge=0,
        identity=False,
    )
    checks: Annotated[tuple[CrawlCheck, ...], AfterValidator(with_defaults(DEFAULTS))] = knob(
        DEFAULTS, CHECKS_SAY, identity=False
    )
