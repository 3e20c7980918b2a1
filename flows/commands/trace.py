"""`phusa trace`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

import typer

from flows.commands.options import JsonOption, StoreOption, answer, store_here
from storage.errors import Fault, RequestError


def trace(
    target: Annotated[
        str | None, typer.Argument(help="a URL or a document id", metavar="URL")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="say instead what this model or adapter saw, by domain and language",
            metavar="NAME[@VERSION]",
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="through all versions, not only each recipe's newest")
    ] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Follow one page from its fetch to the steps of the models that learnt from it.

    Example: `phusa trace http://localhost:8630/math.html`
    """
    if (target is None) == (model is None):
        given = "neither" if target is None else "both"
        example = "Example: phusa trace --model finetune"
        raise RequestError(Fault("trace", given, "a URL, or --model", example, "wrong_options"))
    from flows.trace.model import show_model, trace_model  # pyarrow: 0.2 s, only wanted here
    from flows.trace.page import show_trace
    from flows.trace.page import trace as follow

    place = store_here(store)
    if model is not None:
        seen = trace_model(place, model)
        answer(_plain(seen), as_json, lambda console: show_model(console, seen))
    elif target is not None:
        found = follow(place, target, everything=everything)
        answer(_plain(found), as_json, lambda console: show_trace(console, found))


def _plain(found: Any) -> dict[str, Any]:
    """The dataclass as JSON has it."""
    return asdict(
        found,
        dict_factory=lambda items: {
            key: value.isoformat() if isinstance(value, datetime) else value for key, value in items
        },
    )
