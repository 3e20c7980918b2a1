"""The funnel of a cleaning on its run's page: tables, and pictures of bounded size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flows.funnel.cleaning import has_signals, open_cleaning
from flows.funnel.pictures import draw_funnel, draw_histograms
from flows.funnel.render import share
from flows.run_page.markdown import escape, fence, number, table
from flows.run_page.plots import Picture, data_url
from storage.manifest import Manifest
from storage.store import Store
from tasks.clean.funnel import Drop, Funnel, Step

_PANELS = 9  # signals in the picture: 80 KB; all 21 of the default filters are 190
_EXAMPLES = 2


@dataclass(frozen=True)
class FunnelShown:
    """Markdown, and the pictures that stand in it."""

    tables: str
    pictures: tuple[Picture, ...]


def show_cleaning(store: Store, manifest: Manifest) -> FunnelShown | None:
    """What each step dropped; None for what is no cleaning, or kept no signals."""
    if manifest.name != "clean" or not has_signals(manifest):
        return None
    cleaning = open_cleaning(store, manifest)
    found = cleaning.funnel(num_examples=_EXAMPLES)
    drops = [drop for step in found.steps for drop in step.drops]
    says = "pages left after each step"
    pictures = [Picture("funnel", says, data_url(draw_funnel(found, "From pages to documents")))]
    broken = {drop.signal: drop.broken_by for drop in reversed(drops) if drop.broken_by}
    signals = [one for one in cleaning.histograms() if one.signal in broken]
    signals.sort(key=lambda one: -broken[one.signal])
    if signals:
        title = "Signals of which most texts break a bound"
        png = draw_histograms(signals[:_PANELS], drops, title)
        pictures.append(Picture("signals", "texts by signal, with bounds", data_url(png)))
    return FunnelShown(_tables(found, drops), tuple(pictures))


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
