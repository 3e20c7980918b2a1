"""A Prefect flow for every registered stage, each with the typed form of its inputs and knobs."""

from __future__ import annotations

import inspect
from typing import Any

from prefect import Flow, flow

from flows.parameters import INPUTS, RunOptions, StageInputs, StageResult
from flows.recording import kept
from flows.run_names import stage_name
from flows.stage_run import run_stage
from flows.stages import STAGES
from tasks.config import Config
from tasks.stage import Stage


def make_flow(stage: Stage) -> Flow[Any, StageResult]:
    """Make a stage's flow. Prefect reads its form from the signature that it is given."""

    def run(*, config: Config, inputs: StageInputs, options: RunOptions) -> StageResult:
        return kept(lambda: run_stage(stage, config, inputs, options))

    def parameter(name: str, kind: Any, default: Any = inspect.Parameter.empty) -> Any:
        return inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default
        )

    form = INPUTS[stage.name]
    run.__name__ = run.__qualname__ = stage.name
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            parameter("config", stage.config),
            parameter("inputs", form, form()),
            parameter("options", RunOptions),
        ],
        return_annotation=StageResult,
    )
    run.__annotations__ = {"config": stage.config, "inputs": form, "options": RunOptions}
    run.__doc__ = (
        f"{stage.says[0].upper()}{stage.says[1:]}.\n\nArgs:\n"
        "    config: the stage's knobs, as the recipe sets them\n"
        "    inputs: the artifacts that it is made from\n"
        "    options: where it runs, and whether it is built again\n"
    )
    made: Flow[Any, StageResult] = flow(name=stage.name, flow_run_name=stage_name)(run)
    return made


FLOWS: dict[str, Flow[Any, StageResult]] = {s.name: make_flow(s) for s in STAGES.values()}

globals().update(FLOWS)  # prefect.yaml names each: flows/stage_flows.py:NAME
