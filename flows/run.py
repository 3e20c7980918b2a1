"""A run from the command line: Prefect in this process, progress on this console."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import cast

from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from rich.console import Console

from flows.closing import print_closing
from flows.console import console_reporter, stopped_by_ctrl_c
from flows.parameters import INPUTS, AnyStage, PipelineInputs, RunOptions, StageName
from flows.pipeline import FLOWS, pipeline
from flows.plan import Selection
from flows.recipe import Recipe
from flows.stopping import StoppableReporter
from storage.manifest import Manifest
from storage.store import Store
from tasks.config import Config
from tasks.progress import report_to


def run_pipeline(console: Console, recipe: Recipe, store: Store, selection: Selection) -> None:
    """Run the chosen stages and print what came of them."""
    with shown_on(console):
        results = pipeline(
            only=cast("AnyStage", selection.only or ""),
            from_stage=cast("AnyStage", selection.from_stage or ""),
            force=cast("tuple[StageName, ...]", tuple(sorted(selection.force))),
            inputs=PipelineInputs(**selection.inputs),
            recipe=recipe,
            store=store.address,
        )
    print_closing(console, recipe, store, results)


def build_like(
    store: Store, old: Manifest, config: Config, inputs: Mapping[str, Manifest]
) -> Manifest:
    """Run the stage of `old` alone, for its recipe, on other inputs; call it within `shown_on`."""
    options = RunOptions(store=store.address, recipe=old.run.recipe)
    versions = {name: manifest.version for name, manifest in inputs.items()}
    chosen = INPUTS[old.name].model_validate(versions)
    made = FLOWS[old.name](options=options, inputs=chosen, config=config)
    return store.manifest(old.name, made.version)


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
