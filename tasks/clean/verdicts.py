"""The verdict on a text, from what was measured of it: anew for each text, or again for all."""

from __future__ import annotations

from tasks.clean.config import CleanConfig
from tasks.clean.filters import Bound, Candidate, Signals, Verdict, judge


class Verdicts:
    """Those of one configuration: its languages first, then its filters in their order."""

    def __init__(self, config: CleanConfig) -> None:
        self._config = config
        self.bounds: dict[str, tuple[Bound, ...]] = {
            rule.kind: rule.bounds() for rule in config.filters
        }
        """Each filter's, in the order in which they are asked."""
        self._in_order = [bound for bounds in self.bounds.values() for bound in bounds]

    @property
    def signal_names(self) -> list[str]:
        """The names of all signals, in the filters' order."""
        return list(self.measure(Candidate("", "")))

    @property
    def signals(self) -> dict[str, list[str]]:
        """The names of each filter's signals."""
        nothing = Candidate("", "")
        return {rule.kind: list(rule.measure(nothing)) for rule in self._config.filters}

    def measure(self, candidate: Candidate) -> dict[str, float]:
        """All signals of a text, also those behind a bound that it breaks."""
        return {
            name: float(value)
            for rule in self._config.filters
            for name, value in rule.measure(candidate).items()
        }

    def decide(self, language: str, score: float, signals: Signals) -> Verdict | None:
        """Why a text of this language, detected with this probability, is dropped, or None."""
        least = self._config.min_score_of(language)
        if least is None:
            return Verdict("other_language", language, ", ".join(self._config.languages))
        if score < least:
            return Verdict("unsure_language", f"{score:.4g}", f">= {least:g}")
        return judge(self._in_order, signals)
