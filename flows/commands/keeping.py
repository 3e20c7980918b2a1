"""`phusa verify` and `phusa gc`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from flows.commands.options import JsonOption, StoreOption, answer, store_here
from flows.render import size
from storage.gc import Collection, Work, abandoned, collect, drop, plan_collection
from storage.manifest import Manifest
from storage.store import Reference
from storage.verify import Damage
from storage.verify import verify as verify_

_WORK_DAYS = 7.0
_DAY_S = 86_400.0


def verify(
    artifact: Annotated[
        str | None,
        typer.Argument(
            help="NAME, RECIPE/NAME or NAME@VERSION; default: all",
            metavar="[[RECIPE/]NAME[@VERSION]]",
        ),
    ] = None,
    deep: Annotated[bool, typer.Option("--deep", help="read and hash every file too")] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find missing, truncated and altered files, and the artifacts made from them.

    Exit code 1 if anything is damaged. Example: `phusa verify --deep`
    """
    place = store_here(store)
    asked = None if artifact is None else Reference.parse(artifact)
    is_one = asked is not None and (asked.wanted or asked.name not in place.names())
    one = place.resolve(artifact) if artifact and is_one else None

    def wanted(manifest: Manifest) -> bool:
        if one is None:
            return asked is None or asked.admits(manifest)
        return manifest.label == one.label

    looked_at: list[Manifest] = []
    damages = verify_(place, wanted, deep=deep, advance=looked_at.append)
    rows = [
        {"artifact": d.label, "findings": list(d.findings), "touched": list(d.touched)}
        for d in damages
    ]
    num_bytes = sum(manifest.num_bytes for manifest in looked_at)
    how = "read and hashed" if deep else "by size"
    summary = f"{len(looked_at)} artifacts, {size(num_bytes)}, {how}"
    answer(rows, as_json, lambda console: _print_damage(console, damages, summary))
    if damages:
        raise typer.Exit(1)


def gc(
    keep: Annotated[int, typer.Option(min=1, help="versions kept of each name and recipe")] = 3,
    yes: Annotated[
        bool, typer.Option("--yes", help="do it; without it nothing is changed")
    ] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what old versions could go and what that frees; with --yes, take them.

    What an alias names, the last versions, what a live build reads, and all their ancestors stay.
    Manifests stay too, so that lineage stays whole. Example: `phusa gc --keep 2`
    """
    place = store_here(store)
    collection = collect(place, keep) if yes else plan_collection(place, keep)
    work = abandoned(place, _WORK_DAYS * _DAY_S)
    if yes:
        drop(place, work, _WORK_DAYS * _DAY_S)
    row = {
        "done": yes,
        "artifacts": [
            {"artifact": c.label, "why": c.why, "bytes": c.num_bytes} for c in collection.candidates
        ],
        "work": [{"folder": str(w.folder), "bytes": w.num_bytes} for w in work],
        "bytes": collection.num_bytes + sum(w.num_bytes for w in work),
        "kept": dict(collection.kept),
    }
    answer(row, as_json, lambda console: _print_collection(console, collection, work, done=yes))


def _print_collection(
    console: Console, collection: Collection, work: Sequence[Work], *, done: bool
) -> None:
    """Print what went or would go, what that frees, and what stays for which reason."""
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


def _print_damage(console: Console, damages: Sequence[Damage], summary: str) -> None:
    """Print each damaged artifact with its findings and what was made from it."""
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
