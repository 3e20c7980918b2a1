"""`phusa clean funnel`: what each step of a sealed cleaning dropped, printed and drawn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from flows.stages import open_artifact
from storage.errors import Fault, RequestError, UnknownArtifact
from storage.sealing import quarantined
from storage.store import Reference, Store
from tasks.artifacts.documents import DOCUMENTS
from tasks.clean.funnel import Drop, Funnel, Part
from tasks.clean.page import SIGNALS, Cleaning, open_cleaning
from tasks.clean.pictures import draw_funnel, draw_histograms
from tasks.page import share

_BAR = 30  # characters of all pages
_PARTS = 20  # domains or languages with a row


def find_cleaning(store: Store, target: str) -> Cleaning:
    """Open the cleaning that `target` (NAME, NAME@VERSION) names, also one in quarantine.

    Raises RequestError for what is no cleaning, and as `open_cleaning`.
    """
    try:
        manifest = store.resolve(target)
    except UnknownArtifact:
        asked = Reference.parse(target)
        held = [m for m in quarantined(store, asked.name) if m.version.startswith(asked.wanted)]
        if not asked.wanted or len(held) != 1 or not asked.admits(held[0]):
            raise
        (manifest,) = held
    artifact = open_artifact(store, manifest)
    without_pages = not artifact.type.serves(DOCUMENTS) or artifact.has("duplicates.parquet")
    if without_pages and not artifact.has(SIGNALS):
        remedy = "`phusa artifacts` lists the cleanings."
        raise RequestError(Fault(target, artifact.label, "clean, or clean@VERSION", remedy))
    return open_cleaning(artifact)


def write_pictures(folder: Path, cleaning: Cleaning, found: Funnel) -> list[Path]:
    """Write `funnel.png`, and `signals-FILTER.png` for each filter that has a bound.

    Older ones give way. Raises RequestError for a folder that cannot be written.
    """
    paths = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, png in _pictures(cleaning, found).items():
            (folder / name).write_bytes(png)
            paths.append(folder / name)
    except OSError as error:
        expected = "a folder that can be made and written"
        raise RequestError(Fault("--png", str(error), expected, "Name another.")) from error
    return paths


def _pictures(cleaning: Cleaning, found: Funnel) -> Mapping[str, bytes]:
    of = f"{cleaning.label}, {found.language}" if found.language else cleaning.label
    drops = [drop for step in found.steps for drop in step.drops]
    pictures = {"funnel.png": draw_funnel(found, of)}
    signals = cleaning.histograms(found.language)
    for kind, group in groupby(signals, key=lambda one: one.filter):
        pictures[f"signals-{kind}.png"] = draw_histograms(list(group), drops, f"{of}: {kind}")
    return pictures


def show_funnel(console: Console, label: str, found: Funnel) -> None:
    """Print the steps, then each reason that met any page, with where and some examples."""
    of = f"{label}, texts in {found.language}" if found.language else label
    console.print(f"[bold]{escape(of)}[/]: {found.kept:,} of {found.pages:,} kept", highlight=False)
    console.print(_steps(found))
    reasons = [drop for step in found.steps for drop in step.drops if drop.broken_by]
    if reasons:
        console.print(_reasons(reasons, found.pages))
    for drop in reasons:
        _show_examples(console, drop)


def show_parts(console: Console, by: str, parts: Sequence[Part]) -> None:
    """Print what became of each domain's, or language's, pages."""
    right = [Column(name, justify="right") for name in ("pages", "kept", "share")]
    table = Table(by, *right, "dropped", title=f"by {by}", title_justify="left")
    for part in parts[:_PARTS]:
        counts = (f"{part.pages:,}", f"{part.kept:,}", share(part.kept, part.pages))
        table.add_row(escape(part.name), *counts, _named(part.dropped))
    console.print(table)
    if len(parts) > _PARTS:
        console.print(f"{len(parts) - _PARTS:,} more; --json has all", highlight=False)


def _named(counts: Mapping[str, int], most: int = 3) -> str:
    """Write counts as `en 1,200, de 3, 4 more`."""
    first = [f"{escape(name)} {count:,}" for name, count in list(counts.items())[:most]]
    return ", ".join([*first, *([f"{len(counts) - most} more"] if len(counts) > most else [])])


def _steps(found: Funnel) -> Table:
    right = [Column(name, justify="right") for name in ("left", "share", "dropped", "of those in")]
    table = Table("step", *right, "")
    table.add_row("pages" if found.language is None else "texts", *_row(found.pages, found.pages))
    for step in found.steps:
        bar = _bar(step.pages_out, step.dropped, found.pages)
        counts = _row(step.pages_out, found.pages)[:2]
        gone = (
            (f"{step.dropped:,}", share(step.dropped, step.pages_in)) if step.dropped else ("",) * 2
        )
        table.add_row(step.name, *counts, *gone, bar)
    return table


def _row(left: int, pages: int) -> tuple[str, str, str, str, str]:
    return f"{left:,}", share(left, pages), "", "", _bar(left, 0, pages)


def _bar(left: int, dropped: int, pages: int) -> str:
    if not pages:
        return ""
    full, whole = round(_BAR * left / pages), round(_BAR * (left + dropped) / pages)
    return f"[green]{'█' * full}[/][red]{'░' * (whole - full)}[/]"


def _reasons(drops: Iterable[Drop], pages: int) -> Table:
    numbers = ("dropped", "share", "broken by", "alone")
    right = [Column(name, justify="right", no_wrap=True) for name in numbers]
    reason = Column("reason", no_wrap=True)
    table = Table(reason, Column("kept if", overflow="fold"), *right, "languages")
    for drop in drops:
        bound = f"{drop.signal} {drop.bound}" if drop.signal else ""
        counts = (f"{drop.dropped:,}", share(drop.dropped, pages))
        tuning = (f"{drop.broken_by:,}", f"{drop.alone:,}")
        table.add_row(drop.reason, bound, *counts, *tuning, _named(drop.languages))
    return table


def _show_examples(console: Console, drop: Drop) -> None:
    if drop.examples:
        console.print(f"[bold]{drop.reason}[/], of {_named(drop.domains, 5)}", highlight=False)
    for example in drop.examples:
        why = f"{example.value}, not {example.threshold}"
        console.print(f"  {example.url}  {why}", markup=False, highlight=False, soft_wrap=True)
