"""`phusa clean …`: cleaning looked at, without a run."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from flows.commands.options import JsonOption, StoreOption, answer
from flows.commands.run import RecipeArgument, SetOption

clean_app = typer.Typer(no_args_is_help=True, help="Study how pages are cleaned, without a run.")


@clean_app.callback()
def _clean() -> None:
    """Study how pages are cleaned, without a run."""


@clean_app.command()
def replay(
    recipe: RecipeArgument,
    set_: SetOption = None,
    of: Annotated[
        str, typer.Option("--of", help="the cleaning whose texts are judged", metavar="clean[@…]")
    ] = "clean",
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge all texts of a cleaning by other thresholds, from what was measured of them.

    Example: `phusa clean replay recipes/demo.yaml --set clean.filters.0.min_words=30`
    """
    from flows.recipe import load_recipe
    from flows.render_replay import show_replay
    from flows.replay import replay as judge_again  # pyarrow: 0.2 s, only wanted here
    from flows.request import store_of

    read = load_recipe(recipe, set_ or ())
    found = judge_again(store_of(recipe, read, store), of, read.clean)
    answer(asdict(found), as_json, lambda console: show_replay(console, found))
