"""`phusa run` and `phusa plan`."""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import JsonOption, StoreOption, answer
from flows.render import make_console, plan_table

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
) -> None:
    """Run a recipe: reuse what is there, build what is not.

    Example: `phusa run recipes/demo.yaml --set dedup.threshold=0.7 --from dedup`
    """
    from flows.request import read_request  # all stages' knobs: 0.3 s, and only wanted here

    asked = read_request(
        recipe, store, set_, only=only, from_=from_, to=to, force=force, inputs=input_
    )
    if preflight:
        asked.require_possible()
    console = make_console()
    started = time.monotonic()
    settle_prefect()
    from flows.run import run_pipeline  # Prefect: 1.3 s, and only wanted here

    run_pipeline(console, asked.recipe, asked.store, asked.selection)
    console.print(
        f"done in {time.monotonic() - started:.1f} s; artifacts in {asked.store.address}",
        highlight=False,
        soft_wrap=True,
    )


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
    for name, value in RECORDING.items():  # of the server that Prefect starts for this run alone
        os.environ.setdefault(name, value)
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    # 13 s were seen for a cold start of the ephemeral server on two cores; the default is 20.
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")
