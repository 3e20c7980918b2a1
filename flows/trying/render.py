"""What `phusa clean try` prints for people: the page's way, its verdict last."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.rule import Rule
from rich.table import Column, Table

from tasks.clean.judging import Measured, Trial


def show_trial(console: Console, trial: Trial) -> None:
    """Text, facts, signals, verdict."""
    if trial.text:
        console.print(Rule("text", align="left"))
        console.print(trial.text, markup=False, highlight=False, soft_wrap=True)
        console.print(Rule(align="left"))
    for name, of in _facts(trial).items():
        console.print(f"{name:<14}{of}", markup=False, highlight=False, soft_wrap=True)
    if trial.signals:
        console.print(_signals(trial))
    verdict = trial.verdict
    if verdict is None:
        console.print("[bold green]kept[/]: it becomes a document")
        return
    console.print(f"[bold red]dropped[/]: [bold]{verdict.reason}[/]", highlight=False)
    why = f"found {verdict.value}, expected {verdict.threshold}"
    console.print(f"  {why}", markup=False, highlight=False, soft_wrap=True)


def _facts(trial: Trial) -> dict[str, str]:
    facts = {"page": f"{trial.url} ({trial.num_bytes:,} bytes)"}
    if not trial.extractor:
        return facts
    facts |= {"title": trial.title or "-", "extractor": trial.extractor}
    facts["lines out"] = _counts(trial.trimmed)
    facts["personal data"] = _counts(trial.pii)
    if trial.text:
        least = trial.least_score
        asked = "a language that is not wanted" if least is None else f"at least {least:g}"
        facts["language"] = f"{trial.language} {trial.language_score:.4g} ({asked})"
    return facts


def _counts(found: Mapping[str, int] | None) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in (found or {}).items()) or "none"


def _signals(trial: Trial) -> Table:
    table = Table("filter", "signal", Column("value", justify="right"), "kept if", "")
    before = ""
    for one in trial.signals:
        table.add_row(one.filter if one.filter != before else "", *_cells(one))
        before = one.filter
    return table


def _cells(one: Measured) -> tuple[str, str, str, str]:
    value = "-" if one.value is None else f"{one.value:.4g}"
    broken = [asked.reason for asked in one.bounds if not asked.holds]
    says = " and ".join(asked.bound for asked in one.bounds)
    mark = f"[bold red]✗ {', '.join(broken)}[/]" if broken else "[green]✓[/]" if one.bounds else ""
    return one.signal, value, says, mark
