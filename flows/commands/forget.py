"""`phusa forget`."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Annotated, Any

import typer
from rich.console import Console

from flows.commands.options import JsonOption, StoreOption, answer, store_here
from flows.commands.run import settle_prefect
from flows.render import make_console, say
from storage.errors import Fault, RequestError
from storage.store import Store


def forget(
    target: Annotated[
        str | None,
        typer.Argument(
            help="a URL, a domain with all below it, or a document id",
            metavar="URL|DOMAIN|DOCUMENT",
        ),
    ] = None,
    why: Annotated[
        str | None, typer.Option(help="the reason; kept with the takedown, needed the first time")
    ] = None,
    purge: Annotated[
        bool,
        typer.Option("--purge", help="rewrite the data that holds it, and delete what held it"),
    ] = False,
    list_: Annotated[
        bool, typer.Option("--list", help="what was taken down, and what holds it still")
    ] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take content down: crawl, clean and shard leave it out from now on.

    Says which artifacts hold it and which models saw it; nothing is deleted without --purge.
    Example: `phusa forget https://example.org/page.html --why "the owner asked"`
    """
    if (target is None) != list_ or (list_ and (purge or why is not None)):
        found = "--list with something else" if list_ else "nothing"
        example = 'Example: phusa forget https://example.org/page.html --why "the owner asked"'
        expected = "what to forget, or --list alone"
        raise RequestError(Fault("forget", found, expected, example, "wrong_options"))
    from flows.takedown.record import forget as record  # pyarrow: 0.2 s, only wanted here
    from flows.takedown.record import list_takedowns

    place = store_here(store)
    if target is None:
        recorded = list_takedowns(place)
        lines = [line for one in recorded for line in one.lines()] or ["nothing was taken down"]
        answer([_plain(one) for one in recorded], as_json, lambda console: say(console, lines))
        return
    noted = record(place, target, why)
    if not purge:
        answer(_plain(noted), as_json, lambda console: say(console, noted.lines()))
        return
    console = make_console(stderr=as_json)
    say(console, noted.lines())
    _purge(place, console, noted, as_json)


def _purge(place: Store, console: Console, noted: Any, as_json: bool) -> None:
    from flows.takedown.purge import Purge

    work = Purge(place, noted)
    say(console, work.plan().lines())
    settle_prefect()
    from flows.run import build_like, carried_out  # Prefect: 1.3 s, and only wanted here

    done = carried_out(console, lambda: work.carry_out(partial(build_like, place)))
    row = _plain(noted) | {"purged": _plain(done)}
    answer(row, as_json, lambda console: say(console, done.lines()))
    if done.left:
        raise typer.Exit(1)


def _plain(found: Any) -> dict[str, Any]:
    """The dataclass as JSON has it."""
    plain = asdict(found)
    if "takedown" in plain:
        plain["takedown"] = found.takedown.model_dump(mode="json")
    return plain
