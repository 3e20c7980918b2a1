"""A comparison of two versions, for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.diff.artifacts import Change, Diff, Example, TableDiff

_WIDEST = 60


def show_diff(console: Console, found: Diff) -> None:
    """Print what differs, section by section; a section without a difference is not there."""
    _say(console, f"[bold]{found.old} → {found.new}[/]")
    if len({*found.recipes}) > 1:
        _say(console, f"[yellow]of two recipes[/]: {escape(' → '.join(found.recipes))}")
    _say(console, f"content: {_sameness(found.same_content, *found.digests)}")
    if found.same_recipe:
        _say(console, "recipe: the same configuration, stage version and inputs' content")
    _print_changes(console, "configuration", found.configuration)
    if found.inputs:
        table = Table("input", "old", "new", "content", title="inputs", title_justify="left")
        for each in found.inputs:
            same = "the same" if each.same_content else "different"
            table.add_row(each.name, each.old or "-", each.new or "-", same)
        console.print(table)
    _print_changes(console, "code", found.code)
    _print_changes(console, "figures", found.figures)
    _print_changes(console, "checks", found.checks)
    _print_changes(console, "takedowns left out", found.takedowns)
    _print_files(console, found)
    _print_tables(console, found.tables)
    for line in found.drift.lines() if found.drift else ():
        _say(console, escape(line))


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, soft_wrap=True)


def _sameness(same: bool, old: str, new: str) -> str:
    if same:
        return f"[green]the same[/] ({old[:12]})"
    return f"[yellow]different[/] ({old[:12]} → {new[:12]})"


def _print_changes(console: Console, title: str, changes: Iterable[Change]) -> None:
    rows = list(changes)
    if not rows:
        return
    with_numbers = any(change.change is not None for change in rows)
    table = Table("what", "old", "new", title=title, title_justify="left")
    if with_numbers:
        table.add_column("difference", justify="right")
    for row in rows:
        cells = (row.name, _brief(row.old), _brief(row.new))
        table.add_row(*map(escape, cells), *([_signed(row.change)] if with_numbers else []))
    console.print(table)


def _print_files(console: Console, found: Diff) -> None:
    if not found.files:
        return _say(console, f"files: all {found.same_files} the same")
    title = f"files ({found.same_files} the same)"
    table = Table("file", "old bytes", "new bytes", "", title=title, title_justify="left")
    for file in found.files:
        kind = "gone" if file.new is None else "added" if file.old is None else "changed"
        note = " (not in the content digest)" if file.volatile else ""
        sizes = ("-" if n is None else f"{n:,}" for n in (file.old, file.new))
        table.add_row(escape(file.path), *sizes, kind + note)
    return console.print(table)


def _print_tables(console: Console, tables: Sequence[TableDiff]) -> None:
    if not tables:
        return
    summary = Table(title="rows", title_justify="left")
    for column in ("table", "old", "new", "gone", "added", "changed", "told apart by"):
        summary.add_column(
            column, justify="left" if column in ("table", "told apart by") else "right"
        )
    for table in tables:
        numbers = (table.rows_old, table.rows_new, table.gone, table.added, table.changed)
        summary.add_row(table.name, *(f"{n:,}" for n in numbers), ", ".join(table.key) or "-")
    console.print(summary)
    for table in tables:
        _print_examples(console, table)


def _print_examples(console: Console, table: TableDiff) -> None:
    for name, columns in (("gone", table.columns_gone), ("added", table.columns_added)):
        if columns:
            _say(console, f"{table.name}: columns {name}: {', '.join(columns)}")
    kinds = (
        ("[red]-[/]", "gone", table.gone, table.examples_gone),
        ("[green]+[/]", "added", table.added, table.examples_added),
        ("[yellow]~[/]", "changed", table.changed, table.examples_changed),
    )
    for sign, name, count, examples in kinds:
        if examples:
            same_url = f", {table.same_url:,} of them at a URL" if name != "changed" else ""
            both = f"{same_url} that is on both sides" if same_url and table.same_url else ""
            _say(console, f"\n[bold]{table.name}[/]: {count:,} {name}{both}")
            for example in examples:
                console.print(
                    f"  {sign} {_line(example, table.key)}", highlight=False, soft_wrap=True
                )
            if count > len(examples):
                _say(console, f"    … and {count - len(examples):,} more (--rows N shows N)")


def _line(example: Example, key: Sequence[str]) -> str:
    """The URL or the key, then what changed, or what else the row says."""
    name = example.url or ", ".join(f"{column} {example.row[column]}" for column in key)
    if example.changes:
        pairs = example.changes.items()
        said = [f"{column}: {_brief(old)} → {_brief(new)}" for column, (old, new) in pairs]
    else:
        hidden = {"url"} if example.url else set(key)
        rest = {k: v for k, v in example.row.items() if k not in hidden}
        said = [f"{column} {_brief(value)}" for column, value in rest.items()]
    return f"{escape(name)}  [dim]{escape(', '.join(said))}[/]"


def _brief(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return f"({len(value):,})"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = " ".join(text.split())
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"


def _signed(change: float | None) -> str:
    if change is None:
        return ""
    return f"{change:+,}" if isinstance(change, int) else f"{change:+.6g}"
