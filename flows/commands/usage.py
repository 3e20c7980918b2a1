"""What was typed and no command takes, said as other faults are."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from typer._click.exceptions import UsageError

from storage.errors import Fault, RequestError


def refused_words(error: UsageError) -> RequestError:
    """Say what was wrong with the words of a command line."""
    command = error.ctx.command_path if error.ctx else "phusa"
    remedy, cause = f"`{command} --help` shows what it takes.", error.__cause__
    if not isinstance(cause, ValidationError):
        expected = "options and arguments of this command"
        found = error.format_message().rstrip(".")
        return RequestError(Fault(command, found, expected, remedy, "wrong_words"))
    from flows.recipe_faults import words  # the recipe's knobs: 0.1 s, only for what is refused

    param: Any = getattr(error, "param", None)
    details = cause.errors()[0]
    where = param.opts[-1] if param.opts[-1].startswith("-") else param.name.upper()
    expected = words(param.get_runtime_param().adapter.json_schema())
    code = "out_of_range" if details["type"].startswith(("greater", "less")) else "wrong_type"
    return RequestError(Fault(where, repr(details["input"]), expected, remedy, code))
