"""`phusa dedup …`: what was dropped as a duplicate, looked at."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Literal

import typer

from flows.commands.options import JsonOption, StoreOption, answer, store_here

dedup_app = typer.Typer(help="Look at duplicates, and choose what counts as one.")

OfOption = Annotated[
    str, typer.Option("--of", help="the deduplication that is meant", metavar="dedup[@…]")
]
CountOption = Annotated[int, typer.Option("--count", min=1, max=1000, help="clusters to list")]


@dedup_app.callback(invoke_without_command=True)
def _dedup(
    context: typer.Context,
    of: OfOption = "dedup",
    count: CountOption = 20,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look at duplicates, and choose what counts as one; without a command, as `top`."""
    if context.invoked_subcommand is None:
        top(of, count, store, as_json)


@dedup_app.command()
def top(
    of: OfOption = "dedup",
    count: CountOption = 20,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the biggest clusters of duplicates.

    Example: `phusa dedup top --count 50`
    """
    from flows.evidence.cluster import top_clusters  # pyarrow: 0.2 s, only wanted here
    from flows.evidence.render import show_top

    manifest, found = top_clusters(store_here(store), of, count)
    rows = [asdict(one) for one in found]
    answer(rows, as_json, lambda console: show_top(console, manifest.label, found))


@dedup_app.command()
def show(
    cluster: Annotated[
        str,
        typer.Argument(
            help="the kept document's id, a beginning of it, or the URL of any document in it"
        ),
    ],
    of: OfOption = "dedup",
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
    from flows.evidence.cluster import show_cluster as read
    from flows.evidence.render import show_cluster

    found = read(store_here(store), cluster, of, diff, most)
    answer(asdict(found), as_json, lambda console: show_cluster(console, found))
