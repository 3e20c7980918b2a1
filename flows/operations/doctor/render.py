"""The report of `phusa doctor` for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from flows.operations.doctor.finding import Finding

_MARKS = {
    "ok": "[green]✓[/]",
    "warning": "[yellow]![/]",
    "error": "[bold red]✗[/]",
    "skipped": "[dim]·[/]",
}


def print_findings(console: Console, findings: Sequence[Finding]) -> None:
    """One line for each check; under what is wrong, what was expected and how to mend it."""
    table = Table(Column("", no_wrap=True), Column("", no_wrap=True), "", box=None)
    table.show_header = False
    for one in findings:
        style = "dim" if one.status == "skipped" else ""
        table.add_row(_MARKS[one.status], escape(one.check), f"{escape(one.found)}", style=style)
        if one.expected:
            table.add_row("", "", f"[dim]expected:[/] {escape(one.expected)}")
        if one.remedy:
            table.add_row("", "", f"[dim]remedy:[/]   {escape(one.remedy)}")
    console.print(table, highlight=False)
    console.print(f"\n{_summary(findings)}", highlight=False)


def _summary(findings: Sequence[Finding]) -> str:
    errors = sum(one.status == "error" for one in findings)
    warnings = sum(one.status == "warning" for one in findings)
    skipped = sum(one.status == "skipped" for one in findings)
    tail = f", {skipped} not checked" if skipped else ""
    if errors:
        return f"[bold red]{errors} wrong[/], {warnings} to look at{tail}"
    if warnings:
        return f"[yellow]{warnings} to look at[/], nothing wrong{tail}"
    return f"[green]all well[/]{tail}"
