"""Sending pages to the Prefect server, which must never cost a run what it has sealed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flows.run_page.markdown import fence
from tasks.progress import note


@contextmanager
def at_no_risk(what: str) -> Iterator[None]:
    """Say what went wrong inside the block, and go on.

    One block for all that is sent of a run: Prefect's client asks a server that is away again for
    a minute, and that for each artifact would be several.
    """
    try:
        yield
    except Exception as error:
        note(f"{what}: not shown in the Prefect UI ({type(error).__name__}: {error})")


def or_why_not(make: Callable[[], str]) -> str:
    """A part of a page, or what kept it from being made."""
    try:
        return make()
    except Exception as error:
        return "This part could not be made:\n\n" + fence(f"{type(error).__name__}: {error}")
