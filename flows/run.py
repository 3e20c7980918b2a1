"""A run from the command line: Prefect in this process, progress on this console."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from rich.console import Console

from flows.console import console_reporter, stopped_by_ctrl_c
from flows.parameters import INPUTS, RunOptions, StageResult
from flows.pipeline import made_before, pipeline
from flows.plan import Selection
from flows.recipe import Recipe
from flows.run_report import print_report
from flows.stage_flows import FLOWS
from flows.stages import STAGES
from flows.stopping import StoppableReporter
from storage.errors import Interrupted
from storage.manifest import Manifest
from storage.store import Store
from tasks.config import Config
from tasks.progress import report_to


def run_pipeline(
    console: Console, recipe: Recipe, store: Store, selection: Selection
) -> list[StageResult]:
    """Run the chosen instances and print what came of them, also of a run that fails."""
    try:
        with shown_on(console):
            results: list[StageResult] = pipeline(
                only=" ".join(selection.only),
                from_stage=" ".join(selection.from_),
                to_stage=" ".join(selection.to),
                force=selection.force,
                inputs=dict(selection.inputs),
                recipe=recipe,
                store=store.address,
            )
    except Exception as error:
        made = made_before(error)
        if made and not isinstance(error, Interrupted):  # who stops a run does not wait for answers
            print_report(console, recipe, store, made)
        raise
    print_report(console, recipe, store, results)
    return results


def build_like(
    store: Store, old: Manifest, config: Config, inputs: Mapping[str, Manifest]
) -> Manifest:
    """Run the stage of `old` alone, for its recipe, on other inputs; call it within `shown_on`.

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
    made = FLOWS[stage.name](options=options, inputs=chosen, config=config)
    return store.manifest(made.name, made.version)


@contextmanager
def shown_on(console: Console) -> Iterator[None]:
    """Show the progress of flows that are run in this process, and stop them at Ctrl-C.

    Without a PREFECT_API_URL, Prefect starts an ephemeral server for them; its heartbeat thread is
    off, which would add a second to each flow.
    """
    quick = temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None})
    with quick, stopped_by_ctrl_c(console) as stop, console_reporter(console) as reporter:
        report_to(StoppableReporter(stop, reporter))
        yield
