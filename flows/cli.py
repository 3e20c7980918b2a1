"""The `phusa` command. Prefect and torch are imported only by the commands that run something."""

from __future__ import annotations

import json
import logging
import sys
from functools import partial

import typer
from rich.console import Console

from flows.commands.artifacts import artifacts, show
from flows.commands.clean import clean_app
from flows.commands.dedup import dedup_app
from flows.commands.diff import diff
from flows.commands.forget import forget
from flows.commands.keeping import gc, verify
from flows.commands.operations import doctor, up
from flows.commands.release import export, promote, rollback, sample
from flows.commands.run import plan_, run
from flows.commands.trace import trace
from flows.render import make_console
from flows.stopping import Stopped, leave, signals_raised
from storage.errors import PhusaError, RequestError

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    add_completion=False,
    help="From a crawl of the web to a trained, fine-tuned, versioned language model.",
)
app.command()(run)
app.command("plan")(plan_)
app.command()(artifacts)
app.command()(show)
app.command()(sample)
app.command()(trace)
app.add_typer(clean_app)
app.add_typer(dedup_app)
app.command()(diff)
app.command()(verify)
app.command()(promote)
app.command()(rollback)
app.command()(gc)
app.command()(forget)
app.command()(export)
app.command()(up)
app.command()(doctor)


def main() -> None:
    """Entry point: 0 done, 1 the run failed, 2 the request was wrong, 128 + N signal N."""
    console = make_console(stderr=True)
    with signals_raised(partial(console.print, markup=False, soft_wrap=True)):
        leave(_called(console))


def _called(console: Console) -> int:
    """Run the command that was typed; its errors are printed. Returns the exit code."""
    try:
        app()
        return 0
    except SystemExit as end:  # typer's way to end, also a good one
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Stopped as error:
        console.print(str(error), markup=False, soft_wrap=True)
        return error.exit_code
    except PhusaError as error:
        if "--json" in sys.argv:
            print(json.dumps({"error": error.as_json()}, ensure_ascii=False), file=sys.stderr)
            return error.exit_code
        title = "the request was refused" if isinstance(error, RequestError) else "the run failed"
        console.print(f"[bold red]{title}[/]")
        console.print(str(error), markup=False, highlight=False, soft_wrap=True)
        return error.exit_code
    except Exception as error:  # a defect or the machine: the whole trace, and exit code 1
        logging.getLogger("phusa").exception("unexpected error")
        console.print(f"the run failed: {type(error).__name__}: {error}", markup=False)
        return 1


if __name__ == "__main__":
    main()
