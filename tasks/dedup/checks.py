"""What deduplication is measured by."""

from __future__ import annotations

from typing import ClassVar

from tasks.checks import Check, Measure, growth, share, stat


class DedupCheck(Check):
    """Bounds on one measure of deduplication."""

    stage = "dedup"
    about: ClassVar = {
        "growth": Measure(
            "documents kept, relative to the last version's: -0.5 is half of them",
            "See whether the clean stage shrank as well, and in duplicates.parquet what was "
            "dropped",
            growth,
            compares=True,
        ),
        "duplicate_rate": Measure(
            "share of the documents (0-1) that were dropped as duplicates",
            "Read some pairs of duplicates.parquet; raise dedup.threshold, or remove what all pages"
            " repeat with clean.drop_lines",
            lambda made, _: share(stat(made, "duplicates"), made.rows_in),
        ),
        "most_copies_share": Measure(
            "share of the documents (0-1) that are copies of one and the same. One page served in "
            "place of all others (log in, consent, turn on JavaScript) shows here",
            "Look up the kept_id that duplicates.parquet names most; exclude such pages with "
            "crawl.source.exclude",
            lambda made, _: share(stat(made, "most_copies"), made.rows_in),
        ),
    }


DEFAULTS = (
    # Nineteen in twenty documents resemble another: they share a frame that is longer than their
    # text. So is half of the documents more than last time.
    DedupCheck(measure="duplicate_rate", max=0.95, max_rise=0.5),
    DedupCheck(measure="duplicate_rate", max_rise=0.1, severity="warn"),
    # More than half of a site is one text: an error page, and no site.
    DedupCheck(measure="most_copies_share", max=0.5),
    DedupCheck(measure="most_copies_share", max=0.2, severity="warn"),
)


measures = DedupCheck.measures
