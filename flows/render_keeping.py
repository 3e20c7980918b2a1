"""What gc and verify print for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from flows.render import size
from storage.gc import Collection, Work
from storage.verify import Damage


def print_collection(
    console: Console, collection: Collection, work: Sequence[Work], *, done: bool
) -> None:
    """What went or would go, what it freed or would, and what stays for which reason."""
    if collection.candidates:
        title = "taken" if done else "could go"
        table = Table(Column("artifact", no_wrap=True), "bytes", "why", title=title)
        table.title_justify = "left"
        for candidate in collection.candidates:
            table.add_row(candidate.label, size(candidate.num_bytes), candidate.why)
        console.print(table)
    for one in work:
        line = f"abandoned work: {one.folder} ({size(one.num_bytes)})"
        console.print(line, markup=False, soft_wrap=True)
    kept = ", ".join(f"{count} ({why})" for why, count in collection.kept.items())
    console.print(f"stay: {kept}", highlight=False)
    freed = size(collection.num_bytes + sum(one.num_bytes for one in work))
    if done:
        console.print(f"freed {freed}; manifests are kept")
    elif collection.candidates or work:
        console.print(f"would free {freed}; nothing was changed: --yes does it")
    else:
        console.print("nothing can go")


def print_damage(console: Console, damages: Sequence[Damage], summary: str) -> None:
    """Each damaged artifact with its findings and what was made from it."""
    for damage in damages:
        console.print(f"[bold red]{damage.label}[/]")
        for finding in damage.findings:
            console.print(f"  {escape(finding)}", highlight=False, soft_wrap=True)
        if damage.touched:
            console.print(f"  made from it: {', '.join(damage.touched)}", soft_wrap=True)
    state = f"[red]{len(damages)} damaged[/]" if damages else "[green]all whole[/]"
    console.print(f"{summary}: {state}", highlight=False)
    if damages:
        console.print(
            "The next run builds what it needs of these again; --force STAGE does so at once.",
            highlight=False,
        )
