"""What runs are called: the recipe, what was chosen of it, and what began the run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.utilities.callables import get_parameter_defaults

from flows.parameters import INPUTS, RunOptions
from flows.plan import Selection

Parameters = dict[str, Any]


def pipeline_name(chosen: Callable[[Parameters], Selection]) -> str:
    """Name the pipeline's run in hand: `mine: from tokenizer, dedup=@prod (custom run)`."""

    def meant(asked: Parameters) -> object:
        return asked["recipe"], chosen(asked), asked["promote"], asked["store"]

    context = _run()
    asked = _whole(context, context.parameters)
    selection = chosen(asked)
    options = {"only": selection.only, "from": selection.from_, "to": selection.to}
    parts = [f"{option} {' '.join(of)}" for option, of in options.items() if of] or ["all"]
    parts += [f"force {' '.join(selection.force)}"] if selection.force else []
    parts += [f"{name}={of}" for name, of in selection.inputs.items()]
    return f"{asked['recipe'].name}: {', '.join(parts)} ({_trigger(context, meant)})"


def stage_name() -> str:
    """Name the stage's run in hand: `clean for mine`, and alone also what was chosen, and how."""
    context = _run()
    stage, asked = context.flow.name, _whole(context, context.parameters)
    called = in_pipeline(stage, asked["options"])
    if context.flow_run.parent_task_run_id is not None:
        return called
    usual = INPUTS[stage]().sources()
    given = {port: of for port, of in asked["inputs"].sources().items() if of != usual[port]}
    parts = [called, *(["force"] if asked["options"].force else [])]
    parts += [f"{port}={' '.join(of)}" for port, of in given.items()]
    return f"{', '.join(parts)} ({_trigger(context, dict)})"


def in_pipeline(stage: str, options: RunOptions) -> str:
    """Name a stage's run that a pipeline starts or orders: the pipeline's name says the rest."""
    return f"{options.instance or stage} for {options.recipe}"


def _run() -> Any:
    return FlowRunContext.get()  # Prefect asks for a name within it


def _whole(context: Any, given: Parameters) -> Parameters:
    """Give parameters with the defaults of those that nobody gave, as in a schedule's run."""
    defaults: Parameters = get_parameter_defaults(context.flow.fn)
    return defaults | given


def _trigger(context: Any, meant: Callable[[Parameters], object]) -> str:
    """Say what began the run in hand; `meant` is what its parameters come to.

    A quick run is told by them: the UI's own quick run sends a form that can be changed, too.
    """
    run = context.flow_run
    if run.deployment_id is None:
        return "command line"
    if run.auto_scheduled:
        return "schedule"
    with get_client(sync_client=True) as client:
        usual = client.read_deployment(run.deployment_id).parameters
    usual = _whole(context, context.flow.validate_parameters(usual))
    same = meant(usual) == meant(_whole(context, context.parameters))
    return "quick run" if same else "custom run"
