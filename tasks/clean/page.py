"""A sealed cleaning looked at: its funnel and histograms, and both on the page of its run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pydantic import ValidationError

from storage.errors import Fault, RequestError
from tasks.artifacts.artifact import Artifact
from tasks.clean.config import CleanConfig
from tasks.clean.funnel import Drop, Funnel, Step, funnel
from tasks.clean.histograms import Histogram, histograms
from tasks.clean.judging import Verdicts
from tasks.clean.pictures import draw_funnel, draw_histograms
from tasks.config import from_identity
from tasks.page import Picture, Section, escape, fence, number, share, table

SIGNALS = "signals/"
"""What a cleaning had measured of each text; before the stage's version 3 none kept it."""

_PANELS = 9  # signals in the picture: 80 KB; all 21 of the default filters are 190
_EXAMPLES = 2


@dataclass(frozen=True)
class Cleaning:
    """A cleaning that has kept what its funnel is counted from."""

    label: str
    config: CleanConfig
    signals: Sequence[Path]
    rejects: Sequence[Path]

    def funnel(self, language: str | None = None, num_examples: int = 3) -> Funnel:
        """Count the funnel. Raises RequestError if there is no text in the language."""
        found = funnel(
            self.signals, self.rejects, self.config, language=language, num_examples=num_examples
        )
        if not found.pages:
            known = [part.name for part in self.funnel(num_examples=0).languages]
            shown = ", ".join(known[:20])
            remedy = "`phusa clean funnel --by language` counts them."
            raise RequestError(Fault("--language", f"no text in {language!r}", shown, remedy))
        return found

    def histograms(self, language: str | None = None) -> list[Histogram]:
        """Count the histograms of all signals that have a bound."""
        return list(histograms(self.signals, self.config, language=language))


def open_cleaning(artifact: Artifact) -> Cleaning:
    """Fetch a cleaning's tables. Raises RequestError if no funnel can be counted from it."""
    label, name = artifact.label, artifact.manifest.name
    again = f"Run the clean stage again: phusa run RECIPE --only {name} --force {name}."
    if not artifact.has(SIGNALS):
        expected = "the signals that a cleaning keeps since version 3 of the stage"
        raise RequestError(Fault(label, "no table of signals", expected, again))
    try:
        config = from_identity(CleanConfig, _with_paths(artifact.manifest.config))
    except ValidationError as error:
        found = f"a configuration that this phusa cannot read ({error.error_count()} faults)"
        raise RequestError(Fault(label, found, "one of its own", again)) from error
    signals = artifact.files(SIGNALS)
    measured = set(pq.read_schema(signals[0]).names)
    wanted = {b.signal for bounds in Verdicts(config).bounds.values() for b in bounds}
    if missing := sorted(wanted - measured):
        found = f"signals without {', '.join(missing)}"
        raise RequestError(Fault(label, found, "all that its filters bound", again))
    return Cleaning(label, config, signals, artifact.files("rejects/"))


def _with_paths(kept: Any) -> Any:
    """Give lists of a manifest's configuration a path again: of them it keeps the digest."""
    if isinstance(kept, dict):
        if set(kept) == {"digest"}:
            return {**kept, "path": "a list that was read then"}
        return {name: _with_paths(of) for name, of in kept.items()}
    return [_with_paths(of) for of in kept] if isinstance(kept, list) else kept


# --- on the page of its run -----------------------------------------------------------------------


def sections(artifact: Artifact) -> Iterator[Section]:
    """Show what each step dropped; nothing for a cleaning that kept no signals."""
    if not artifact.has(SIGNALS):
        return
    cleaning = open_cleaning(artifact)
    found = cleaning.funnel(num_examples=_EXAMPLES)
    drops = [drop for step in found.steps for drop in step.drops]
    funnel_png = draw_funnel(found, "From pages to documents")
    pictures = [Picture("funnel", "pages left after each step", funnel_png)]
    broken = {drop.signal: drop.broken_by for drop in reversed(drops) if drop.broken_by}
    signals = [one for one in cleaning.histograms() if one.signal in broken]
    signals.sort(key=lambda one: -broken[one.signal])
    if signals:
        title = "Signals of which most texts break a bound"
        png = draw_histograms(signals[:_PANELS], drops, title)
        pictures.append(Picture("signals", "texts by signal, with bounds", png))
    yield Section("Funnel", _tables(found, drops), tuple(pictures))


def _tables(found: Funnel, drops: Sequence[Drop]) -> str:
    steps = [
        (escape(one.name), f"{one.pages_out:,}", share(one.pages_out, found.pages), _gone(one))
        for one in found.steps
    ]
    met = [drop for drop in drops if drop.broken_by]
    parts = [table(("step", "left", "of all pages", "dropped"), steps)]
    if met:
        header = ("reason", "kept if", "dropped", "broken by", "alone", "languages", "domains")
        parts.append(table(header, map(_reason, met)))
        parts.append(
            "*Broken by* counts all texts that break a bound, also behind another; *alone* those "
            "that break nothing else, which come back without it."
        )
    lines = [
        f"{drop.reason}: {example.value}, not {example.threshold}\n  {example.url}"
        for drop in met
        for example in drop.examples
    ]
    return "\n\n".join([*parts, *([fence("\n".join(lines))] if lines else [])])


def _gone(step: Step) -> str:
    return f"{step.dropped:,}" if step.dropped else ""


def _reason(drop: Drop) -> tuple[str, ...]:
    counts = (f"{drop.dropped:,}", f"{drop.broken_by:,}", f"{drop.alone:,}")
    bound = escape(f"{drop.signal} {drop.bound}".strip())
    names = (dict(list(of.items())[:3]) for of in (drop.languages, drop.domains))
    return (escape(drop.reason), bound, *counts, *(escape(number(of)) for of in names))
