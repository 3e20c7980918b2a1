"""The verdict on a text, from what was measured of it: anew for each text, or again for all."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.clean.config import CleanConfig
from tasks.clean.filters import Candidate, Filter, Signals, Verdict, judge


def signal_names(filters: Sequence[Filter]) -> list[str]:
    """The names of all signals of some filters, in their order."""
    return list(measure(filters, Candidate("", "")))


def measure(filters: Sequence[Filter], candidate: Candidate) -> dict[str, float]:
    """All signals of a text."""
    return {
        name: float(value) for rule in filters for name, value in rule.measure(candidate).items()
    }


def decide(config: CleanConfig, language: str, score: float, signals: Signals) -> Verdict | None:
    """Why a text of this language, detected with this probability, is dropped, or None."""
    least = config.min_score_of(language)
    if least is None:
        return Verdict("other_language", language, ", ".join(config.languages))
    if score < least:
        return Verdict("unsure_language", f"{score:.4g}", f">= {least:g}")
    return judge((bound for rule in config.filters for bound in rule.bounds()), signals)
