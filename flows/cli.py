"""The `phusa` command. Prefect and torch are imported only by the commands that run something."""

from __future__ import annotations

import sys
import traceback

import typer
from rich.console import Console

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
from flows.render import make_console, plain_logs, print_json, say
from storage.errors import PhusaError, RequestError, named_error

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    add_completion=False,
    help="From a crawl of the web to a trained, fine-tuned, versioned language model.",
)
app.command()(init)
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
    """Entry point: 0 done, 1 the run failed, 2 the request was wrong."""
    plain_logs()
    console = make_console(stderr=True)
    try:
        app()
    except PhusaError as error:
        sys.exit(_tell(console, error))
    except KeyboardInterrupt:
        console.print("interrupted; the same command goes on from here")
        sys.exit(1)
    except Exception as error:
        named = named_error(error)
        if named is not None:  # the machine's
            sys.exit(_tell(console, named))
        say(console, [traceback.format_exc()])  # a defect
        say(console, [f"the run failed: {type(error).__name__}: {error}"])
        sys.exit(1)


def _tell(console: Console, error: PhusaError) -> int:
    """Say what was wrong, to people or to programs. Returns the exit code."""
    if "--json" in sys.argv:
        print_json({"error": error.as_json()}, indent=None, file=sys.stderr)
    else:
        title = "the request was refused" if isinstance(error, RequestError) else "the run failed"
        say(console, [title], style="bold red")
        say(console, [str(error)])
    return error.exit_code


if __name__ == "__main__":
    main()
