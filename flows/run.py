"""A run from the command line: Prefect in this process, progress on this console."""

from __future__ import annotations

from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from rich.console import Console

from flows.closing import print_closing
from flows.console import StopSignal, console_reporter
from flows.pipeline import Choice, pipeline
from flows.plan import Selection
from flows.recipe import Recipe
from storage.store import Store
from tasks.progress import report_to


def run_pipeline(console: Console, recipe: Recipe, store: Store, selection: Selection) -> None:
    """Run the chosen stages and print what came of them.

    Without a PREFECT_API_URL, Prefect starts an ephemeral server for this run; its heartbeat
    thread is off, which would add a second to each of the eight flows.
    """
    choice = Choice(
        only=selection.only,
        from_stage=selection.from_stage,
        force=tuple(sorted(selection.force)),
        inputs=dict(selection.inputs),
    )
    quick = temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None})
    stop = StopSignal(console)
    with quick, stop.caught(), console_reporter(console, stop) as reporter:
        report_to(reporter)
        results = pipeline(recipe, store.address, choice)
    print_closing(console, recipe, store, results)
