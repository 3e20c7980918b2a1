"""Two runs of one schedule at once: the later one stands back."""

from __future__ import annotations

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.context import FlowRunContext


def earlier_run() -> FlowRun | None:
    """The run of the same deployment that began before this scheduled one and still goes on.

    Runs that people start are let through: artifacts are built once however many want them. Not a
    deployment's `concurrency_limit`: its leases are lost with a server that restarts, and Prefect
    then ends training that was going well.
    """
    context = FlowRunContext.get()
    mine = None if context is None else context.flow_run
    if mine is None or mine.deployment_id is None or not mine.auto_scheduled:
        return None
    going = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING]))
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(state=going),
            deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[mine.deployment_id])),
        )
    order = {run.id: (run.start_time, str(run.id)) for run in runs if run.start_time is not None}
    first = min(order, key=lambda run_id: order[run_id], default=mine.id)
    return next((run for run in runs if run.id == first != mine.id), None)
