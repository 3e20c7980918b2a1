"""The `phusa` command. Prefect and torch are imported only by the commands that run something."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from typer._click.exceptions import NoArgsIsHelpError, UsageError

from flows.commands.artifacts import artifacts, show
from flows.commands.clean import clean_app
from flows.commands.dedup import dedup_app
from flows.commands.diff import diff
from flows.commands.forget import forget
from flows.commands.head import head
from flows.commands.init import init
from flows.commands.keeping import gc, verify
from flows.commands.operations import doctor, up
from flows.commands.release import export, promote, rollback, sample
from flows.commands.run import plan_, run
from flows.commands.trace import trace
from flows.render import make_console, plain_logs, print_json, print_text, say
from flows.stopping import Stopped, leave, signals_raised
from storage.errors import Fault, PhusaError, RequestError, named_error

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
_offer("Look at what there is", artifacts, show, head, sample, trace, diff, clean_app, dedup_app)
_offer("Trust it and keep it", verify, promote, rollback, export, forget, gc)
_offer("Operate", up, doctor)


@app.callback()
def _phusa(
    version: Annotated[bool, typer.Option("--version", help="say which phusa this is")] = False,
) -> None:
    if version:
        from flows.version import versions  # metadata of packages: only wanted here

        print_text(versions())
        raise typer.Exit


def main() -> None:
    """Entry point: 0 done, 1 the run failed, 2 the request was wrong, 128 + N signal N."""
    plain_logs()
    console = make_console(stderr=True)
    with signals_raised(lambda text: say(console, [text])):
        leave(_called(console))


def _called(console: Console) -> int:
    """Run the command that was typed; its errors are printed. Returns the exit code."""
    try:
        return _typed(console)
    except Stopped as error:
        say(console, [str(error)])
        return error.exit_code
    except PhusaError as error:
        return _tell(console, error)
    except Exception as error:
        named = named_error(error)
        if named is not None:  # the machine's
            return _tell(console, named)
        say(console, [traceback.format_exc()])  # a defect
        say(console, [f"{_title()}: {type(error).__name__}: {error}"])
        return 1


def _typed(console: Console) -> int:
    try:
        code = app(standalone_mode=False)
    except SystemExit as end:  # typer's way to end, also a good one
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except NoArgsIsHelpError as error:
        error.show()
        code = error.exit_code
    except UsageError as error:
        raise _refused_words(error) from error
    except typer.Abort:  # a question without an answer
        say(console, ["nothing was done"])
        code = 1
    return code if isinstance(code, int) else 0


def _refused_words(error: UsageError) -> RequestError:
    """Say what was typed and this command does not take, as other faults are said."""
    command = error.ctx.command_path if error.ctx else "phusa"
    remedy, cause = f"`{command} --help` shows what it takes.", error.__cause__
    if not isinstance(cause, ValidationError):
        found = error.format_message().rstrip(".")
        expected = "options and arguments of this command"
        return RequestError(Fault(command, found, expected, remedy, "wrong_words"))
    from flows.recipe_faults import words  # 0.1 s, only for what is refused

    param: Any = getattr(error, "param", None)
    details = cause.errors()[0]
    where = param.opts[-1] if param.opts[-1].startswith("-") else param.name.upper()
    expected = words(param.get_runtime_param().adapter.json_schema())
    code = "out_of_range" if details["type"].startswith(("greater", "less")) else "wrong_type"
    return RequestError(Fault(where, repr(details["input"]), expected, remedy, code))


def _tell(console: Console, error: PhusaError) -> int:
    """Say what was wrong, to people or to programs. Returns the exit code."""
    if "--json" in sys.argv:
        print_json({"error": error.as_json()}, indent=None, file=sys.stderr)
    else:
        title = "the request was refused" if isinstance(error, RequestError) else _title()
        say(console, [title], style="bold red")
        say(console, [str(error)])
    return error.exit_code


def _title() -> str:
    command = [word for word in sys.argv[1:] if not word.startswith("-")]
    return " ".join(["phusa", *command[:1], "failed"])


if __name__ == "__main__":
    main()
