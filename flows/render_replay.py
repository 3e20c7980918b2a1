"""What `phusa clean replay` prints for people."""

from __future__ import annotations

from rich.console import Console
from rich.table import Column, Table

from flows.replay import KEPT, Replay


def show_replay(console: Console, found: Replay) -> None:
    """Texts by verdict, before and after, and which of them would move."""
    table = Table("verdict", Column(found.label, justify="right"), Column("now", justify="right"))
    reasons = sorted(
        {*found.before, *found.after}, key=lambda r: (r != KEPT, -found.before.get(r, 0), r)
    )
    for reason in reasons:
        counts = (f"{side.get(reason, 0):,}" for side in (found.before, found.after))
        table.add_row(reason or "kept", *counts)
    console.print(table)
    for change in found.changes:
        line = f"{change.texts:,} texts: {change.before or 'kept'} → {change.after or 'kept'}"
        console.print(line, highlight=False)
        for url in change.examples:
            console.print(f"  {url}", markup=False, highlight=False, soft_wrap=True)
    if not found.changes:
        console.print("no verdict would be another one")
