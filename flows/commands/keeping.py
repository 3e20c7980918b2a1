"""`phusa verify` and `phusa gc`."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console

from flows.commands.options import JsonOption, StoreOption, answer, store_here
from flows.render import size
from flows.render_keeping import print_collection, print_damage
from storage.gc import abandoned, collect, drop, plan_collection
from storage.manifest import Manifest
from storage.verify import verify as verify_

_WORK_DAYS = 7.0
_DAY_S = 86_400.0


def verify(
    artifact: Annotated[
        str | None,
        typer.Argument(help="NAME or NAME@VERSION; default: all", metavar="[NAME[@VERSION]]"),
    ] = None,
    deep: Annotated[bool, typer.Option("--deep", help="read and hash every file too")] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find missing, truncated and altered files, and the artifacts made from them.

    Exit code 1 if anything is damaged. Example: `phusa verify --deep`
    """
    place = store_here(store)
    one = None if artifact is None or artifact in place.names() else place.resolve(artifact)
    wanted = _named(artifact) if one is None else _wanted(one)
    looked_at: list[Manifest] = []
    damages = verify_(place, wanted, deep=deep, advance=looked_at.append)
    rows = [
        {"artifact": d.label, "findings": list(d.findings), "touched": list(d.touched)}
        for d in damages
    ]
    num_bytes = sum(manifest.num_bytes for manifest in looked_at)
    summary = (
        f"{len(looked_at)} artifacts, {size(num_bytes)}, {'read and hashed' if deep else 'by size'}"
    )

    def show(console: Console) -> None:
        print_damage(console, damages, summary)

    answer(rows, as_json, show)
    if damages:
        raise typer.Exit(1)


def _named(name: str | None) -> Any:
    return lambda manifest: name in (None, manifest.name)


def _wanted(one: Manifest) -> Any:
    return lambda manifest: manifest.label == one.label


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
    answer(row, as_json, lambda console: print_collection(console, collection, work, done=yes))
