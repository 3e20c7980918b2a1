"""`phusa init`: from a URL or a folder to a recipe."""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import JsonOption, answer
from flows.render import make_console, say
from storage.errors import Fault, RequestError

_OUT = "recipe.yaml"
_HOURS = 2.0


def init(
    place: Annotated[
        str | None,
        typer.Argument(
            help="a site's URL, a folder of HTML, text or e-books, a table, WARC files",
            metavar="[URL|FOLDER]",
        ),
    ] = None,
    language: Annotated[
        str | None,
        typer.Option(help="ISO 639 code, such as vi; default: what most of the text is in"),
    ] = None,
    hours: Annotated[
        float | None,
        typer.Option(help=f"for crawl and training; default: {_HOURS:g}"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help=f"where the recipe is written; default: {_OUT}")
    ] = None,
    contact: Annotated[
        str | None, typer.Option(help="e-mail address or URL, told to the host that is asked")
    ] = None,
    sample: Annotated[int, typer.Option(min=1, max=1000, help="pages to look at")] = 20,
    force: Annotated[bool, typer.Option("--force", help="write over a file that is there")] = False,
    as_json: JsonOption = False,
) -> None:
    """Look at some pages and write a recipe that fits them, this machine and the time.

    Asks, question by question, for what is left out, where there is a terminal.

    Example: `phusa init https://docs.example.org/ --language vi --hours 2 --out recipes/mine.yaml`
    """
    from flows.console import console_reporter
    from flows.init import choose, summary, write_recipe
    from flows.sizing import probed, this_machine
    from flows.survey import is_public, known_language, survey  # pyarrow: 0.3 s
    from tasks.progress import reporting_to

    if place is None:
        place = _asked_place()
        language = language or typer.prompt("Language, as vi (empty: what they are in)", default="")
        hours = hours or typer.prompt("Hours, for crawl and training", default=_HOURS, type=float)
        out = out or Path(typer.prompt("Write the recipe to", default=_OUT))
    code = known_language(language) if language else None
    hours, out = _HOURS if hours is None else hours, out or Path(_OUT)
    if not 0.01 <= hours <= 10_000:
        remedy = "Say how long the machine may work; minutes are parts of an hour."
        raise RequestError(Fault("--hours", f"{hours:g}", "0.01 to 10,000", remedy, "bad_hours"))
    _check_out(out, force=force)
    if contact is None and is_public(place) and sys.stdin.isatty():
        contact = typer.prompt("Your e-mail address or URL, told to the owner of the site")
    console = make_console(stderr=as_json)
    with console_reporter(console) as reporter, reporting_to(reporter):
        plan = choose(survey(place, code, contact, sample), hours, probed(this_machine()))
    out.write_text(write_recipe(plan), encoding="utf-8")
    told = summary(plan)
    found = {"recipe": str(out), **{name.lower(): says for name, says in told.items()}}
    sizing = asdict(plan.sizing) | {"shape": plan.sizing.shape.model_dump()}
    lines = [*(f"{name:<10}{says}" for name, says in told.items()), "", *_next(out)]
    answer({**found, "sizing": sizing}, as_json, lambda console: say(console, lines))


def _asked_place() -> str:
    if sys.stdin.isatty():
        answered: str = typer.prompt("Where are the pages: a URL, a folder, a table, WARC files")
        return answered
    remedy = "Such as: phusa init https://docs.example.org/ --language vi --hours 2"
    expected = "a URL or a folder, or a terminal to ask for it"
    raise RequestError(Fault("phusa init", "neither", expected, remedy, "no_place"))


def _check_out(out: Path, *, force: bool) -> None:
    """Refuse before any work what could not be written after it."""
    if out.exists() and not force:
        remedy = "Name another by --out, or write over it by --force."
        raise RequestError(Fault(str(out), "a file", "none", remedy, "file_exists"))
    if out.is_dir() or not out.resolve().parent.is_dir():
        found = "a folder" if out.is_dir() else "no such folder"
        remedy = "Name a file in a folder that is there by --out."
        fault = Fault(str(out), found, "a file in a folder", remedy, "no_folder")
        raise RequestError(fault)


def _next(out: Path) -> list[str]:
    return [
        f"{out} is written. Next:",
        f"  phusa plan {shlex.quote(str(out))}",
        f"  phusa run {shlex.quote(str(out))}",
    ]
