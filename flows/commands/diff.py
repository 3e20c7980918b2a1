"""`phusa diff`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from flows.commands.options import ArtifactArgument, JsonOption, StoreOption, answer, store_here


def diff(
    old: ArtifactArgument,
    new: ArtifactArgument,
    store: StoreOption = None,
    rows: Annotated[
        int, typer.Option(min=0, max=1000, help="examples of each kind of each table")
    ] = 5,
    as_json: JsonOption = False,
) -> None:
    """Say what differs between two versions: recipe, inputs, code, counts, rows.

    The exit code is 0 whether they differ or not.

    Example: `phusa diff clean@20261121-03 clean`
    """
    from flows.diff.artifacts import diff as compare  # numpy: 0.1 s, and only wanted here
    from flows.diff.render import show_diff

    place = store_here(store)
    found = compare(place, place.resolve(old), place.resolve(new), rows)
    answer(asdict(found), as_json, lambda console: show_diff(console, found))
