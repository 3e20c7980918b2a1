"""`phusa head`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from flows.commands.options import ArtifactArgument, JsonOption, StoreOption, answer, store_here


def head(
    artifact: ArtifactArgument,
    dropped: Annotated[bool, typer.Option("--dropped", help="what it left out, and why")] = False,
    kept: Annotated[
        bool, typer.Option("--kept", help="what is in it; with --dropped, side by side")
    ] = False,
    reason: Annotated[
        str, typer.Option(help="dropped for this reason, such as repeated_lines", metavar="REASON")
    ] = "",
    language: Annotated[
        str, typer.Option(help="texts in this language alone, such as vi", metavar="CODE")
    ] = "",
    sample: Annotated[int, typer.Option(min=1, max=1000, help="how many of each to draw")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="of the draw")] = 0,
    characters: Annotated[
        int, typer.Option(min=0, help="of each text; 0: all of it", metavar="NUMBER")
    ] = 500,
    html: Annotated[
        Path | None, typer.Option(help="write it to this file, as a page that needs no network")
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look at documents of an artifact, or at what it dropped, drawn at random.

    A cleaning keeps no text of what it drops: the pages are cleaned once more.

    Example: `phusa head clean --dropped --reason repeated_lines --html dropped.html`
    """
    from flows.head import draw_head, heading, show_head  # pyarrow and more: only wanted here
    from flows.head_page import write_page
    from tasks.artifacts.excerpts import Wanted

    is_dropped = dropped or reason != ""
    asked = [Wanted(dropped=True, count=sample, seed=seed, reason=reason, language=language)]
    if kept or not is_dropped:
        asked.insert(0, Wanted(dropped=False, count=sample, seed=seed, language=language))
    found = draw_head(store_here(store), artifact, asked if is_dropped else asked[:1], characters)
    if html is not None:
        write_page(html, found)

    def show(console: Console) -> None:
        if html is None:
            show_head(console, found)
            return
        says = "; ".join(heading(name, side) for name, side in found.sides())
        console.print(f"{html}: {says}", markup=False, highlight=False, soft_wrap=True)

    answer({"seed": seed, **asdict(found)}, as_json, show)
