"""What a crawl is measured by."""

from __future__ import annotations

import math
from typing import ClassVar

from tasks.checks import Check, Made, Measure, counts, growth, relative, share, stat

# What the site or the recipe decided, and no failure of the crawl. A reason that is not listed
# counts as an error.
_DECIDED = frozenset(
    {
        "redirected",
        "robots",
        "not_html",
        "too_large",
        "private_address",
        "invalid_url",
        "forgotten",
        "policy",
        "trap",
        "duplicate_url",
        "encrypted",
    }
)
_MISSING = frozenset({"http_404", "http_410", "soft_404"})


def _rate(made: Made, *, missing: bool) -> float:
    """The share of all URLs that are missing, or that ended in an error."""
    rejected = counts(made, "rejected")
    if rejected is None:
        return math.nan
    chosen = _MISSING if missing else rejected.keys() - _DECIDED - _MISSING
    return share(sum(rejected.get(reason, 0) for reason in chosen), made.rows_in)


class CrawlCheck(Check):
    """Bounds on one measure of a crawl."""

    stage = "crawl"
    about: ClassVar = {
        "growth": Measure(
            "pages, relative to the last version's: -0.5 is half of them",
            "Look at rejects.parquet for what the site refused; if the site or the recipe did "
            "shrink, let it pass once with a lower min",
            growth,
            compares=True,
        ),
        "error_rate": Measure(
            "share of all URLs (0-1) that ended in an error: HTTP statuses but 404 and 410, "
            "timeouts, no connection, bodies empty or undecodable",
            "Raise crawl.source.politeness.delay_s or crawl.source.retries, or crawl again when the"
            " site is well",
            lambda made, _: _rate(made, missing=False),
        ),
        "missing_rate": Measure(
            "share of all URLs (0-1) that the site links to and does not have (404, 410)",
            "See in rejects.parquet which links are dead, and leave them out with "
            "crawl.source.exclude",
            lambda made, _: _rate(made, missing=True),
        ),
        "page_size_growth": Measure(
            "mean bytes of a page, relative to the last version's. Pages that ask for a login or a "
            "consent come with status 200, and are short",
            "Look at a few pages of the WARC file",
            relative(lambda made: share(stat(made, "html_bytes"), made.rows_out)),
            compares=True,
        ),
    }


DEFAULTS = (
    # A site does not lose half of its pages in a night; a crawl that was kept out does.
    CrawlCheck(measure="growth", min=-0.5),
    # Half of all answers are errors: this is no picture of the site.
    CrawlCheck(measure="error_rate", max=0.5),
    # A healthy site errs on less than one URL in a hundred; one in ten is worth a look.
    CrawlCheck(measure="error_rate", max=0.1, max_rise=0.05, severity="warn"),
    # Dead links are the site's own affair, many new ones are a sign of a move.
    CrawlCheck(measure="missing_rate", max_rise=0.1, severity="warn"),
    CrawlCheck(measure="page_size_growth", min=-0.5, severity="warn"),
)


measures = CrawlCheck.measures
