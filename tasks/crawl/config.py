"""The knobs of the crawl stage."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from tasks import rates
from tasks.artifacts.pages import PAGES
from tasks.checks import CHECKS_SAY, with_defaults
from tasks.config import Config, knob
from tasks.crawl.checks import DEFAULTS, CrawlCheck, measures
from tasks.crawl.sources import Source
from tasks.stage import Job, Outcome, Rewriting, Stage


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


def _build(job: Job) -> Outcome:
    from tasks.crawl.task import build  # Prefect: 1.3 s, and only wanted where it runs

    return build(job)


def _rewrite(job: Rewriting) -> Outcome:
    from tasks.crawl.rewrite import rewrite  # pyarrow: 0.2 s, and only wanted where it runs

    return rewrite(job)


STAGE = Stage(
    name="crawl",
    says="fetch pages from the web or read them from files, and index them",
    config=CrawlConfig,
    version=2,
    output=PAGES,
    build=_build,
    measures=measures,
    takes="URLs asked for",
    forecast=rates.crawl,
    selects=True,
    leaves_out=True,
    rewrite=_rewrite,
)
