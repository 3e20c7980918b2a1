"""`phusa clean …`: cleaning looked at, without a run."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, cast

import typer
from rich.console import Console

from flows.commands.options import JsonOption, StoreOption, answer, store_here
from flows.commands.run import RecipeArgument, SetOption
from flows.render import print_text

_NAME = __name__.rpartition(".")[2]
"""Of the group, and of what it looks at where nothing else is named."""

clean_app = typer.Typer(
    name=_NAME, no_args_is_help=True, help="Study how pages are cleaned, without a run."
)


@clean_app.callback()
def _clean() -> None:
    """Study how pages are cleaned, without a run."""


@clean_app.command()
def replay(
    recipe: RecipeArgument,
    set_: SetOption = None,
    of: Annotated[
        str, typer.Option("--of", help="the cleaning whose texts are judged", metavar="clean[@…]")
    ] = _NAME,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge all texts of a cleaning by other thresholds, from what was measured of them.

    Example: `phusa clean replay recipes/demo.yaml --set clean.filters.0.min_words=30`
    """
    from flows import replay as replays  # pyarrow: 0.2 s, only wanted here
    from flows.recipe import load_recipe
    from flows.request import store_of
    from tasks.clean.config import STAGE, CleanConfig

    read = load_recipe(recipe, set_ or ())
    config = cast("CleanConfig", read.config(STAGE))
    found = replays.replay(store_of(recipe, read, store), of, config, read.name)
    answer(asdict(found), as_json, lambda console: replays.show_replay(console, found))


class By(StrEnum):
    """What the pages are told apart by."""

    DOMAIN = "domain"
    LANGUAGE = "language"


@clean_app.command()
def funnel(
    of: Annotated[str, typer.Argument(help="which cleaning", metavar="[clean[@VERSION]]")] = _NAME,
    store: StoreOption = None,
    by: Annotated[By | None, typer.Option(help="what became of each one's pages")] = None,
    language: Annotated[
        str | None, typer.Option(help="count texts in this language alone, such as vi")
    ] = None,
    examples: Annotated[
        int, typer.Option(min=0, max=100, help="dropped pages to name for each reason")
    ] = 3,
    png: Annotated[
        Path | None,
        typer.Option(help="write pictures of funnel and signals to this folder", metavar="FOLDER"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what each step of a cleaning dropped, and what each bound would drop alone.

    Texts of dropped pages are not kept: `phusa head clean --dropped` shows some again.

    Example: `phusa clean funnel --language vi --png pictures`
    """
    from flows import funnel as funnels  # pyarrow, courlan: 0.4 s, only wanted here

    cleaning = funnels.find_cleaning(store_here(store), of)
    found = cleaning.funnel(language, examples)
    if png is not None:
        funnels.write_pictures(png, cleaning, found)

    def show(console: Console) -> None:
        funnels.show_funnel(console, cleaning.label, found)
        if by is not None:
            funnels.show_parts(console, by, found.domains if by is By.DOMAIN else found.languages)

    answer({"artifact": cleaning.label, **asdict(found)}, as_json, show)


@clean_app.command("try")
def try_(
    page: Annotated[
        str, typer.Argument(help="a URL, a file, or - for the standard input", metavar="URL|FILE")
    ],
    recipe: Annotated[
        Path | None, typer.Option(help="the recipe by which it is cleaned; default: all defaults")
    ] = None,
    set_: SetOption = None,
    of: Annotated[
        str | None,
        typer.Option("--of", help="take the page from this crawl", metavar="crawl[@…]|clean[@…]"),
    ] = None,
    store: StoreOption = None,
    url: Annotated[str | None, typer.Option(help="the address of a page in a file")] = None,
    charset: Annotated[
        str | None, typer.Option(help="of a page in a file; default: as it says, or detected")
    ] = None,
    contact: Annotated[
        str | None, typer.Option(help="e-mail address or URL, told to the host that is asked")
    ] = None,
    text: Annotated[bool, typer.Option("--text", help="print the text and nothing else")] = False,
    as_json: JsonOption = False,
) -> None:
    """Send one page through a cleaning: its text, language, every signal, the verdict.

    A URL is fetched as a crawl does: robots.txt, delays and private addresses are heeded.

    Example: `phusa clean try page.html --set clean.languages=[vi]`
    """
    from flows import page_preview as preview  # pyarrow: 0.2 s, only wanted here
    from flows.request import store_of
    from tasks.clean.config import STAGE, CleanConfig
    from tasks.clean.judging import try_page

    read = preview.recipe_or_defaults(recipe, set_ or ())  # whatever is wrong with it comes first
    place = store_of(recipe, read, store) if recipe else store_here(store)
    tried = preview.find_page(page, read, place, of, url=url, charset=charset, contact=contact)
    found = try_page(tried, cast("CleanConfig", read.config(STAGE)))
    if text:
        print_text(found.text)
        return
    answer(asdict(found), as_json, lambda console: preview.show_trial(console, found))
