"""`phusa dedup …`: what was dropped as a duplicate, looked at."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from flows.commands.options import JsonOption, StoreOption, answer, store_here

_NAME = __name__.rpartition(".")[2]
"""Of the group, and of what it looks at where nothing else is named."""

dedup_app = typer.Typer(name=_NAME, help="Look at duplicates, and choose what counts as one.")

OfOption = Annotated[
    str, typer.Option("--of", help="the deduplication that is meant", metavar="dedup[@…]")
]
CountOption = Annotated[int, typer.Option("--count", min=1, max=1000, help="clusters to list")]


@dedup_app.callback(invoke_without_command=True)
def _dedup(
    context: typer.Context,
    of: OfOption = _NAME,
    count: CountOption = 20,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look at duplicates, and choose what counts as one; without a command, as `top`."""
    if context.invoked_subcommand is None:
        top(of, count, store, as_json)


@dedup_app.command()
def top(
    of: OfOption = _NAME,
    count: CountOption = 20,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the biggest clusters of duplicates.

    Example: `phusa dedup top --count 50`
    """
    from flows.duplicates.clusters import show_top, top_clusters  # pyarrow: 0.2 s

    label, found = top_clusters(store_here(store), of, count)
    rows = [asdict(one) for one in found]
    answer(rows, as_json, lambda console: show_top(console, label, found))


@dedup_app.command()
def show(
    cluster: Annotated[
        str,
        typer.Argument(
            help="the kept document's id, a beginning of it, or the URL of any document in it"
        ),
    ],
    of: OfOption = _NAME,
    diff: Annotated[
        Literal["words", "lines"], typer.Option(help="what differences are marked by")
    ] = "words",
    most: Annotated[
        int, typer.Option(min=1, help="documents shown, the least alike of them first")
    ] = 10,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a cluster: what was dropped for which kept document, why, and what differs.

    Example: `phusa dedup show https://example.org/page.html`
    """
    from flows.duplicates.clusters import read_cluster, show_cluster

    found = read_cluster(store_here(store), cluster, of, diff, most)
    answer(asdict(found), as_json, lambda console: show_cluster(console, found))


@dedup_app.command()
def curve(
    recipe: Annotated[
        Path | None, typer.Argument(help="whose threshold and bands; without one, the defaults")
    ] = None,
    threshold: Annotated[float | None, typer.Option(help="similarity, 0-1")] = None,
    num_perm: Annotated[int | None, typer.Option(help="functions in a signature")] = None,
    bands: Annotated[int | None, typer.Option(help="bands; with --rows")] = None,
    rows: Annotated[int | None, typer.Option(help="rows in a band; with --bands")] = None,
    min_recall: Annotated[
        float | None, typer.Option(help="share (0-1) of the pairs at the threshold to be found")
    ] = None,
    png: Annotated[Path | None, typer.Option(help="draw it into this file, too")] = None,
    of: Annotated[
        str | None,
        typer.Option(
            "--of",
            help="also expect the candidates among these documents, from 1 000 of them",
            metavar="clean[@…]",
        ),
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw how likely pairs of duplicates are found, by their similarity: the S-curve.

    Example: `phusa dedup curve recipes/demo.yaml --threshold 0.7 --of clean`
    """
    from flows.duplicates import curve as curves
    from flows.recipe import load_recipe
    from flows.request import store_of
    from tasks.dedup.config import STAGE, DedupConfig

    read = None if recipe is None else load_recipe(recipe)
    config = DedupConfig() if read is None else cast("DedupConfig", read.config(STAGE))
    given = {"num_perm": num_perm, "bands": bands, "rows": rows, "min_recall": min_recall}
    least, method = curves.banding_of(config, threshold, given)
    expected = None
    if of is not None:
        place = store_of(recipe, read, store) if recipe and read else store_here(store)
        expected = curves.expect_in(place, of, config, least, method)
    found = curves.curve(least, method, expected)
    if png is not None:
        png.write_bytes(curves.draw_curve(found))
    answer(asdict(found), as_json, lambda console: curves.show_curve(console, found))
