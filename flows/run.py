"""A run from the command line: Prefect in this process, progress on this console."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    temporary_settings,
)
from rich.console import Console

from flows.console import console_reporter
from flows.ending import Ending
from flows.parameters import INPUTS, RunOptions, StageResult
from flows.pipeline import pipeline
from flows.plan import Selection
from flows.recipe import Recipe
from flows.recording import catch_up, run_recorded
from flows.run_report import print_report
from flows.stage_flows import FLOWS
from flows.stages import STAGES
from flows.stopping import StoppableReporter, StopRequest, finish, wait_for_no_thread
from flows.temporary_server import temporary_server
from storage.manifest import Manifest
from storage.store import Store
from tasks.config import Config
from tasks.progress import note, reporting_to

T = TypeVar("T")


def run_pipeline(
    console: Console, recipe: Recipe, store: Store, selection: Selection, *, as_json: bool = False
) -> list[StageResult]:
    """Run the chosen instances and print what came of them, also of a run that fails."""
    parameters = {
        "only": " ".join(selection.only),
        "from_stage": " ".join(selection.from_),
        "to_stage": " ".join(selection.to),
        "force": selection.force,
        "inputs": dict(selection.inputs),
        "recipe": recipe,
        "store": store.address,
    }
    try:
        results = carried_out(console, lambda: run_recorded(pipeline, parameters))
    except Exception as error:
        print_report(console, recipe, store, Ending.of(error), as_json=as_json)
        raise
    print_report(console, recipe, store, Ending(results), as_json=as_json)
    return results


def build_like(
    store: Store, old: Manifest, config: Config, inputs: Mapping[str, Manifest]
) -> Manifest:
    """Run the stage of `old` alone, for its recipe, on other inputs; call it within `carried_out`.

    `inputs` are by the names that `old` has recorded its own under.
    """
    stage = STAGES[old.stage]
    options = RunOptions(store=store.address, recipe=old.run.recipe, instance=old.name)
    given = {
        port.name: port.parameter([inputs[key].label for key in old.inputs if port.holds(key)])
        for port in stage.ports
        if not port.names
    }
    chosen = INPUTS[stage.name].model_validate(given)
    parameters = {"options": options, "inputs": chosen, "config": config}
    made = run_recorded(FLOWS[stage.name], parameters)
    return store.manifest(made.name, made.version)


def carried_out(console: Console, work: Callable[[], T]) -> T:
    """Run flows in a thread, with their progress on this console, and stop them at Stopped.

    The main thread is free for signals; besides, Prefect would take SIGTERM there, and raise its
    own exception wherever the work is. Without a PREFECT_API_URL there is a server for them alone.
    The heartbeat thread is off, which would add a second to each flow.
    """
    logging.raiseExceptions = False  # Prefect would print what its server did not hear
    stop = StopRequest()
    with (
        _server(partial(console.print, markup=False, highlight=False)),
        temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),
        console_reporter(console) as reporter,
        reporting_to(StoppableReporter(stop, reporter)),
    ):
        try:
            return finish(work, stop, reporter.note)
        finally:
            if not catch_up():
                note("the Prefect server did not hear all of this run: it does not answer")
                wait_for_no_thread()


@contextmanager
def _server(say: Callable[[str], None]) -> Iterator[None]:
    """Have a Prefect server: the user's, or one for this run alone."""
    url = PREFECT_API_URL.value()
    if url:
        yield
        return
    with temporary_server(say) as server:
        own = {PREFECT_API_URL: server.api_url, PREFECT_API_AUTH_STRING: server.auth}
        with temporary_settings(own):
            yield
