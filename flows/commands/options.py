"""What the commands share: their options, the store they mean, and how they answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.console import Console

from flows.render import make_console, print_json
from storage.store import Store

StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        envvar="PHUSA_STORE",
        help="folder or s3://bucket/prefix of the artifacts; default: the recipe's `store`, or "
        ".phusa beside the recipe's project",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="answer as JSON")]
ArtifactArgument = Annotated[
    str,
    typer.Argument(
        help="NAME, NAME@VERSION or NAME@ALIAS; RECIPE/ before it where several made it",
        metavar="[RECIPE/]NAME[@VERSION]",
    ),
]


def store_here(given: str | None) -> Store:
    """Give the store that is named, or `.phusa` in this folder."""
    return Store(given or ".phusa")


def answer(value: Any, as_json: bool, show_people: Callable[[Console], None]) -> None:
    """Print `value` as JSON for programs, or let `show_people` print it."""
    if as_json:
        print_json(value)
    else:
        show_people(make_console())
