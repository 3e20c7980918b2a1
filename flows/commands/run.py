"""`phusa run` and `phusa plan`."""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from flows.commands.options import JsonOption, StoreOption, answer
from flows.render import make_console, plan_table, say

if TYPE_CHECKING:
    from flows.parameters import StageResult
    from flows.request import Request

RecipeArgument = Annotated[Path, typer.Argument(help="a recipe, such as recipes/demo.yaml")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="a knob, such as dedup.threshold=0.8; repeatable")
]
OnlyOption = Annotated[
    list[str] | None,
    typer.Option("--only", help="run these instances (names, globs) alone, from latest inputs"),
]
FromOption = Annotated[
    list[str] | None,
    typer.Option("--from", help="run these instances and all that is made from them"),
]
ToOption = Annotated[
    list[str] | None,
    typer.Option("--to", help="run these instances and what they are made from, no others"),
]
ForceOption = Annotated[
    list[str] | None,
    typer.Option("--force", help="build these instances even if they are hits; repeatable"),
]
PreflightOption = Annotated[
    bool,
    typer.Option(
        "--preflight/--no-preflight",
        help="refuse a run that cannot work, or needs more disk or memory than there is",
    ),
]
InputOption = Annotated[
    list[str] | None,
    typer.Option("--input", help="INSTANCE=VERSION: use that artifact instead of running it"),
]


def run(
    recipe: RecipeArgument,
    store: StoreOption = None,
    set_: SetOption = None,
    only: OnlyOption = None,
    from_: FromOption = None,
    to: ToOption = None,
    force: ForceOption = None,
    input_: InputOption = None,
    preflight: PreflightOption = True,
    as_json: JsonOption = False,
) -> None:
    """Run a recipe: reuse what is there, build what is not.

    Example: `phusa run recipes/demo.yaml --set dedup.threshold=0.7 --from dedup`. With --json, a
    row for each instance is printed at the end, and progress goes to stderr.
    """
    from flows.request import read_request  # all stages' knobs: 0.3 s, and only wanted here

    asked = read_request(
        recipe, store, set_, only=only, from_=from_, to=to, force=force, inputs=input_
    )
    if preflight:
        asked.require_possible()
    console = make_console(stderr=as_json)
    started = time.monotonic()
    run_request(console, asked, as_json=as_json)
    console.print(
        f"done in {time.monotonic() - started:.1f} s; artifacts in {asked.store.address}",
        highlight=False,
        soft_wrap=True,
    )


def run_request(console: Console, asked: Request, *, as_json: bool = False) -> list[StageResult]:
    """Run what was asked for, and print what came of it; `as_json`: its rows, besides.

    Where everything is reused there is nothing to be recorded, but by a server that is named.
    """
    from flows.operations.server import names_a_server

    asked.store.work.mkdir(
        parents=True, exist_ok=True
    )  # what cannot be made is refused before work
    if all(step.is_settled for step in asked.steps) and not names_a_server():
        return _report_reused(console, asked, as_json)
    settle_prefect()
    from flows.run import run_pipeline  # Prefect: 1.3 s, and only wanted here

    return run_pipeline(console, asked.recipe, asked.store, asked.selection, as_json=as_json)


def _report_reused(console: Console, asked: Request, as_json: bool) -> list[StageResult]:
    from flows.ending import Ending
    from flows.parameters import StageResult
    from flows.run_report import print_report

    results = []
    for step in asked.steps:
        if step.action == "reuse" and step.artifact is not None:
            name = step.instance.name
            results.append(StageResult.of(step.artifact, name, step.reason, reused=True))
            say(console, [f"{name}: reuse ({step.reason})"])
    print_report(console, asked.recipe, asked.store, Ending(results), as_json=as_json)
    return results


def plan_(
    recipe: RecipeArgument,
    store: StoreOption = None,
    set_: SetOption = None,
    only: OnlyOption = None,
    from_: FromOption = None,
    to: ToOption = None,
    force: ForceOption = None,
    input_: InputOption = None,
    preflight: PreflightOption = True,
    as_json: JsonOption = False,
) -> None:
    """Draw the graph of a recipe: what a run would do with each instance, why, and what it takes.

    Nothing is run; what a run would fail on is said.
    Example: `phusa plan recipes/demo.yaml --set tokenizer.vocab_size=8192`
    """
    from flows.request import read_request

    asked = read_request(
        recipe, store, set_, only=only, from_=from_, to=to, force=force, inputs=input_
    )
    steps, foresight = asked.steps, asked.foresight
    rows = [
        {
            "instance": name,
            "stage": step.stage.name,
            "inputs": {port: list(of) for port, of in step.instance.sources.items()},
            "action": step.action,
            "reason": step.reason,
            "artifact": step.artifact.version if step.artifact else None,
            "last_seconds": step.artifact.seconds if step.artifact else None,
            "last_bytes": step.artifact.num_bytes if step.artifact else None,
            "disk_bytes": need.work_bytes if need else None,
            "memory_bytes": need.memory_bytes if need else None,
            "expected": asdict(forecast) if forecast else None,
        }
        for step in steps
        for name in (step.instance.name,)
        for need in (foresight.needs.get(name),)
        for forecast in (foresight.known[name].forecast,)
    ]
    answer(rows, as_json, lambda console: console.print(plan_table(steps, foresight)))
    if preflight:
        asked.require_possible()


def settle_prefect() -> None:
    """Quiet, private defaults for a run from the command line; what the user has set wins."""
    from flows.operations.server import RECORDING

    # What a run says goes to the server's log; this console has our own progress and errors.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_LOGGING_INTERNAL_LEVEL", "CRITICAL")
    for name, value in RECORDING.items():  # of the server that is started for this run alone
        os.environ.setdefault(name, value)
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    # 14 s in all for an answer, not 62: the work goes on without one (flows/recording.py).
    os.environ.setdefault("PREFECT_CLIENT_MAX_RETRIES", "3")
    # Each new client would ask the server for its version, without trying again.
    os.environ.setdefault("PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED", "false")
