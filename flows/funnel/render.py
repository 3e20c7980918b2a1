"""What `phusa clean funnel` prints for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from tasks.clean.funnel import Drop, Funnel, Part

_BAR = 30  # characters of all pages
_PARTS = 20  # domains or languages with a row


def share(part: int, whole: int) -> str:
    """`12.3 %`; of nothing it is empty."""
    return f"{part / whole:.1%}".replace("%", " %") if whole else ""


def show_funnel(console: Console, label: str, found: Funnel) -> None:
    """Steps, then each reason that met any page, with where and some examples."""
    of = f"{label}, texts in {found.language}" if found.language else label
    console.print(f"[bold]{escape(of)}[/]: {found.kept:,} of {found.pages:,} kept", highlight=False)
    console.print(_steps(found))
    reasons = [drop for step in found.steps for drop in step.drops if drop.broken_by]
    if reasons:
        console.print(_reasons(reasons, found.pages))
    for drop in reasons:
        _show_examples(console, drop)


def show_parts(console: Console, by: str, parts: Sequence[Part]) -> None:
    """What became of each domain's, or language's, pages."""
    right = [Column(name, justify="right") for name in ("pages", "kept", "share")]
    table = Table(by, *right, "dropped", title=f"by {by}", title_justify="left")
    for part in parts[:_PARTS]:
        counts = (f"{part.pages:,}", f"{part.kept:,}", share(part.kept, part.pages))
        table.add_row(escape(part.name), *counts, named(part.dropped))
    console.print(table)
    if len(parts) > _PARTS:
        console.print(f"{len(parts) - _PARTS:,} more; --json has all", highlight=False)


def named(counts: Mapping[str, int], most: int = 3) -> str:
    """`en 1,200, de 3, 4 more`."""
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
        table.add_row(drop.reason, bound, *counts, *tuning, named(drop.languages))
    return table


def _show_examples(console: Console, drop: Drop) -> None:
    if drop.examples:
        console.print(f"[bold]{drop.reason}[/], of {named(drop.domains, 5)}", highlight=False)
    for example in drop.examples:
        why = f"{example.value}, not {example.threshold}"
        console.print(f"  {example.url}  {why}", markup=False, highlight=False, soft_wrap=True)
