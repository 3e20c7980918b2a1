"""`phusa up` and `phusa doctor`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import JsonOption, StoreOption, answer
from flows.render import make_console


def up(
    recipe: Annotated[
        Path, typer.Argument(help="its knobs fill the run forms", metavar="[RECIPE]")
    ] = Path("recipes/demo.yaml"),
    port: Annotated[
        int, typer.Option(min=1, max=65535, envvar="PREFECT_SERVER_API_PORT", help="of UI and API")
    ] = 4200,
    host: Annotated[
        str, typer.Option(help="to listen on; 0.0.0.0 for other machines' workers and browsers")
    ] = "127.0.0.1",
    gpu: Annotated[
        bool, typer.Option("--gpu/--no-gpu", help="whether this machine takes training, too")
    ] = True,
    database: Annotated[
        str | None,
        typer.Option(
            envvar="PREFECT_SERVER_DATABASE_CONNECTION_URL",
            help="of the Prefect server: postgresql://user:password@host/name; default: SQLite "
            "in PREFECT_HOME",
        ),
    ] = None,
    store: StoreOption = None,
) -> None:
    """Start the Prefect server, its UI, work pools, deployments and workers on this machine.

    Ctrl-C stops all of it; training saves a checkpoint first. Example: `phusa up recipes/mine.yaml`
    """
    from flows.operations.server import UpOptions
    from flows.operations.up import run_up
    from flows.recipe import load_recipe
    from flows.request import store_of

    place = store_of(recipe, load_recipe(recipe), store)
    options = UpOptions(recipe.resolve(), place.address, host, port, database, gpu)
    run_up(make_console(), options)


def doctor(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Check packages, Prefect, workers, stuck runs, the store, disks and the GPU.

    Says what was found, what was expected, and how to mend it. Exit code 1 if anything is wrong.
    Example: `phusa doctor --store s3://bucket/prefix`
    """
    from flows.operations.doctor import examine, print_findings

    findings = examine(store)
    rows = [asdict(finding) for finding in findings]
    answer(rows, as_json, lambda console: print_findings(console, findings))
    if any(finding.status == "error" for finding in findings):
        raise typer.Exit(1)
