"""The `phusa` command. Prefect and torch are imported only by the commands that run something."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from flows.commands.artifacts import artifacts, show
from flows.commands.clean import clean_app
from flows.commands.dedup import dedup_app
from flows.commands.diff import diff
from flows.commands.forget import forget
from flows.commands.init import init
from flows.commands.keeping import gc, verify
from flows.commands.operations import doctor, up
from flows.commands.release import export, promote, rollback, sample
from flows.commands.run import plan_, run
from flows.commands.trace import trace
from flows.render import make_console
from storage.errors import PhusaError, RequestError

app = typer.Typer(
    no_args_is_help=True,
    invoke_without_command=True,
    rich_markup_mode="markdown",
    add_completion=False,
    help="From a crawl of the web to a trained, fine-tuned, versioned language model.",
)


def _offer(panel: str, *commands: Callable[..., None] | typer.Typer) -> None:
    """List commands in the help, in a panel of what they are for, under their functions' names."""
    for command in commands:
        if isinstance(command, typer.Typer):
            app.add_typer(command, rich_help_panel=panel)
        else:
            name = command.__name__.rstrip("_")
            app.command(name, rich_help_panel=panel)(command)


_offer("Make a model", init, plan_, run)
_offer("Look at what there is", artifacts, show, sample, trace, diff, clean_app, dedup_app)
_offer("Trust it and keep it", verify, promote, rollback, export, forget, gc)
_offer("Operate", up, doctor)


@app.callback()
def _phusa(
    version: Annotated[bool, typer.Option("--version", help="say which phusa this is")] = False,
) -> None:
    if version:
        from flows.version import versions  # metadata of packages: only wanted here

        print(versions())
        raise typer.Exit


def main() -> None:
    """Entry point: 0 done, 1 the run failed, 2 the request was wrong."""
    console = make_console(stderr=True)
    try:
        app()
    except PhusaError as error:
        if "--json" in sys.argv:
            print(json.dumps({"error": error.as_json()}, ensure_ascii=False), file=sys.stderr)
            sys.exit(error.exit_code)
        title = "the request was refused" if isinstance(error, RequestError) else "the run failed"
        console.print(f"[bold red]{title}[/]")
        console.print(str(error), markup=False, highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        console.print("interrupted; the same command goes on from here")
        sys.exit(1)
    except Exception as error:  # a defect or the machine: the whole trace, and exit code 1
        logging.getLogger("phusa").exception("unexpected error")
        console.print(f"the run failed: {type(error).__name__}: {error}", markup=False)
        sys.exit(1)


if __name__ == "__main__":
    main()
