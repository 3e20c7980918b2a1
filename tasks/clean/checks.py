"""What cleaning is measured by."""

from __future__ import annotations

import math
from typing import ClassVar

from tasks.checks import Check, Made, Measure, counts, growth, relative, share, stat


def _no_text_rate(made: Made) -> float:
    dropped = counts(made, "dropped")
    if dropped is None:
        return math.nan
    without = [n for reason, n in dropped.items() if reason.startswith(("extractor_", "no_text"))]
    return share(sum(without), made.rows_in)


def _language_mix(made: Made) -> dict[str, float]:
    """The share of each language; empty if the build did not say."""
    languages = counts(made, "languages") or {}
    total = sum(languages.values())
    return {language: number / total for language, number in languages.items() if total}


def _language_shift(made: Made, last: Made | None) -> float | None:
    """Total variation distance of the mix from the last one, 0-1; None without one before."""
    mix, before = _language_mix(made), {} if last is None else _language_mix(last)
    if not before:
        return None
    if not mix:
        return math.nan
    return sum(abs(mix.get(name, 0) - before.get(name, 0)) for name in {*mix, *before}) / 2


class CleanCheck(Check):
    """Bounds on one measure of cleaning."""

    stage = "clean"
    about: ClassVar = {
        "growth": Measure(
            "documents, relative to the last version's: -0.5 is half of them",
            "See whether the crawl shrank as well, and in rejects/ what was dropped",
            growth,
            compares=True,
        ),
        "drop_rate": Measure(
            "share of the pages (0-1) that became no document",
            "See the reasons in rejects/; loosen clean.filters or clean.languages",
            lambda made, _: share(made.rows_in - made.rows_out, made.rows_in),
        ),
        "no_text_rate": Measure(
            "share of the pages (0-1) on which the extractor failed or found no text",
            "Choose another clean.extractor or raise clean.sandbox's limits; pages that are drawn "
            "by JavaScript hold no text",
            lambda made, _: _no_text_rate(made),
        ),
        "document_size_growth": Measure(
            "mean words of a document, relative to the last version's. Extractors that take the "
            "navigation for the text, or lose the text, show here",
            "Read a few documents; mend clean.extractor, clean.drop_lines or clean.replace",
            relative(lambda made: share(stat(made, "words"), made.rows_out)),
            compares=True,
        ),
        "top_language_share": Measure(
            "share of the documents (0-1) in the most frequent language",
            "Set clean.languages to the languages that are wanted",
            lambda made, _: max(_language_mix(made).values(), default=math.nan),
        ),
        "language_shift": Measure(
            "share of the documents (0-1) that would have to change their language for the mix to "
            "be that of the last version (total variation distance)",
            "See stats.languages; set clean.languages, or look at what the crawl brought",
            _language_shift,
            compares=True,
        ),
    }


DEFAULTS = (
    # Of Common Crawl nine documents in ten are lost on the way to RefinedWeb (arXiv:2306.01116
    # fig. 2); forty-nine in fifty is a filter or an extractor that does not fit. So is half of the
    # pages more than last time.
    CleanCheck(measure="drop_rate", max=0.98, max_rise=0.5),
    CleanCheck(measure="drop_rate", max_rise=0.1, severity="warn"),
    CleanCheck(measure="no_text_rate", max=0.9),
    CleanCheck(measure="no_text_rate", max_rise=0.05, severity="warn"),
    # Documents twice as long or half as long on average: a redesign that the extractor missed.
    CleanCheck(measure="document_size_growth", min=-0.5, max=1.0, severity="warn"),
    # A site does not change half of its pages' language in a night; a redirect by country does.
    CleanCheck(measure="language_shift", max=0.5),
    CleanCheck(measure="language_shift", max=0.1, severity="warn"),
)


measures = CleanCheck.measures
