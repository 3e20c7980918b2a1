"""What runs are called: the recipe, what was chosen of it, and what began the run."""

from __future__ import annotations

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.runtime import flow_run

from flows.parameters import INPUTS, RunOptions
from flows.plan import Selection


def pipeline_name(recipe: str, selection: Selection) -> str:
    """Name the pipeline's run in hand: `mine: from tokenizer, dedup=@prod (custom run)`."""
    chosen = {"only": selection.only, "from": selection.from_, "to": selection.to}
    parts = [f"{option} {' '.join(of)}" for option, of in chosen.items() if of] or ["all"]
    parts += [f"force {' '.join(selection.force)}"] if selection.force else []
    parts += [f"{name}={of}" for name, of in selection.inputs.items()]
    return f"{recipe}: {', '.join(parts)} ({_trigger()})"


def stage_name() -> str:
    """Name the stage's run in hand: `clean for mine`, and alone also what was chosen, and how."""
    stage, options = flow_run.flow_name, flow_run.parameters["options"]
    called = in_pipeline(stage, options)
    run = _run()
    if run is not None and run.parent_task_run_id is not None:
        return called
    inputs = flow_run.parameters["inputs"]
    usual = INPUTS[stage]().sources()
    given = {port: of for port, of in inputs.sources().items() if of != usual[port]}
    parts = [called, *(["force"] if options.force else [])]
    parts += [f"{port}={' '.join(of)}" for port, of in given.items()]
    return f"{', '.join(parts)} ({_trigger()})"


def in_pipeline(stage: str, options: RunOptions) -> str:
    """Name a stage's run that a pipeline starts or orders: the pipeline's name says the rest."""
    return f"{options.instance or stage} for {options.recipe}"


def _run() -> FlowRun | None:
    context = FlowRunContext.get()
    return None if context is None else context.flow_run


def _trigger() -> str:
    """Say what began the run in hand.

    By its parameters: what the UI writes into the first state of a custom run is the user's.
    """
    run = _run()
    if run is None or run.deployment_id is None:
        return "command line"
    if run.auto_scheduled:
        return "schedule"
    with get_client(sync_client=True) as client:
        usual = client.read_deployment(run.deployment_id).parameters
    return "quick run" if run.parameters == usual else "custom run"
