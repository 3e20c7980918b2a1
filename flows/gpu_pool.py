"""Training for the workers of the gpu pool: ordered, waited for, cancelled with its pipeline."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast
from uuid import UUID

import httpx
from prefect import Flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, State
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError, TerminationSignal
from prefect.logging import get_run_logger
from prefect.runtime import flow_run as this_run
from prefect.states import Cancelling

from flows.parameters import INPUTS, RunOptions, StageInputs, StageResult
from flows.run_names import in_pipeline
from flows.stage_run import StageRun
from flows.stages import STAGES
from storage.errors import Fault, RequestError, WorkerRunFailed
from tasks.config import Config

_POLL_S = 2.0
_SAY_WAITING_AFTER_S = 30.0


@task(task_run_name="{options.instance} on the gpu pool", cache_policy=NO_CACHE)
def build_on_gpu_worker(
    name: str, config: Config, options: RunOptions, inputs: Mapping[str, Any]
) -> StageResult:
    """Have a worker of the gpu pool build a stage, and wait for it.

    The run is known by the stage's fingerprint and the store: a pipeline that wants what another
    one has ordered waits for that run. Raises WorkerRunFailed if it does not end well.
    """
    chosen = INPUTS[name].model_validate(inputs)
    order = _Order(name, config, options, chosen)
    with get_client(sync_client=True) as client:
        try:
            ended = _run_of(client, order)
        except TerminationSignal:
            _cancel_with_pipeline(client)
            raise
    _require_completed(options.instance, ended)
    unforced = options.model_copy(update={"force": False})
    made = StageRun(STAGES[name], config, chosen, unforced).find()
    if made is None:
        raise WorkerRunFailed(
            f"run {ended.name} built {options.instance}, but it is not in the store "
            f"{options.store} as this worker sees it; expected the same store on all workers. "
            "Use s3://bucket/prefix, or a folder that all of them mount at the same path."
        )
    return made.model_copy(update={"reused": False, "reason": f"built by run {ended.name}"})


def _say(text: str) -> None:
    get_run_logger().info(text)


@dataclass(frozen=True)
class _Order:
    """What a worker is to build."""

    name: str
    config: Config
    options: RunOptions
    inputs: StageInputs

    @property
    def deployment(self) -> str:
        return f"{self.name}/{self.name}"

    @cached_property
    def tag(self) -> str:
        """The same for all who want the same; one that is forced is its pipeline's own."""
        run = StageRun(STAGES[self.name], self.config, self.inputs, self.options)
        wanted = [run.key, self.options.store]
        if self.options.force:
            wanted.append(str(this_run.get_id()))
        digest = hashlib.sha256("\n".join(wanted).encode()).hexdigest()
        return f"order-{digest[:32]}"


def _run_of(client: SyncPrefectClient, order: _Order) -> FlowRun:
    """The ended run: one that another pipeline has ordered if it ends well, else our own."""
    going = next((run for run in _ordered(client, order) if not _is_final(run)), None)
    if going is not None:
        _say(f"{order.options.instance}: run {going.name} builds it already; waiting for that")
        ended = _wait(client, order.options.instance, going)
        if ended.state is not None and ended.state.is_completed():
            return ended
    ordered = _place(client, order)
    _say(f"{order.options.instance}: ordered from the gpu pool as run {ordered.name}")
    return _wait(client, order.options.instance, ordered)


def _ordered(client: SyncPrefectClient, order: _Order) -> list[FlowRun]:
    """All runs of the stage's deployment that were ordered for the same."""
    try:
        found = client.read_deployment_by_name(order.deployment)
    except ObjectNotFound as error:
        raise RequestError(
            Fault(
                f"deployment {order.deployment}",
                "nothing of that name on the Prefect server",
                "one whose work pool has a worker with a GPU",
                "Deploy it: prefect --no-prompt deploy --all.",
            )
        ) from error
    return client.read_flow_runs(
        flow_run_filter=FlowRunFilter(tags=FlowRunFilterTags(all_=[order.tag])),
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[found.id])),
    )


def _place(client: SyncPrefectClient, order: _Order) -> FlowRun:
    """Order a run. Pipelines that do so at the same moment get the same one: runs that ended are
    counted in the idempotency key, which otherwise gives back a run that failed long ago."""
    attempt = len(_ordered(client, order))
    ordered = run_deployment(
        order.deployment,
        parameters={
            "config": order.config.model_dump(mode="json"),
            "options": order.options.model_dump(mode="json"),
            "inputs": order.inputs.model_dump(mode="json"),
        },
        flow_run_name=in_pipeline(order.name, order.options),
        tags=["phusa", order.tag],
        idempotency_key=f"{order.tag}-{attempt}",
        timeout=0,
    )
    return cast("FlowRun", ordered)  # a coroutine only where an event loop runs


def _wait(client: SyncPrefectClient, name: str, run: FlowRun) -> FlowRun:
    """Wait for the end of a run; a server that is away for a while only makes it longer."""
    began, said = time.monotonic(), False
    while not _is_final(run):
        time.sleep(_POLL_S)
        try:
            run = client.read_flow_run(run.id)
        except (httpx.TransportError, PrefectHTTPStatusError) as error:
            _say(f"{name}: the Prefect server does not answer ({error}); waiting")
            continue
        waits = run.state is None or run.state.is_scheduled()
        if waits and not said and time.monotonic() - began > _SAY_WAITING_AFTER_S:
            said = True
            _say(
                f"{name}: no worker of the gpu pool has taken run {run.name} yet. Is one running "
                "(prefect worker start --pool gpu), and is the pool's limit not used up?"
            )
    return run


def _is_final(run: FlowRun) -> bool:
    return run.state is not None and run.state.is_final()


def _require_completed(name: str, run: FlowRun) -> None:
    state = run.state
    if state is None or not state.is_completed():
        what = "unknown" if state is None else state.type.value.lower()
        says = "" if state is None or not state.message else f": {state.message}"
        raise WorkerRunFailed(f"run {run.name} of {name} on the gpu pool ended {what}{says}")


def cancel_children(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Cancel the runs that a cancelled pipeline has ordered; Prefect leaves them to run."""
    with get_client(sync_client=True) as client:
        _cancel_ordered(client, flow_run.id)


def _cancel_with_pipeline(client: SyncPrefectClient) -> None:
    """The same at once, if its being cancelled is why this process is to end.

    Prefect calls the hook only when the process is gone: 10 s later were seen.
    """
    pipeline = client.read_flow_run(UUID(this_run.get_id()))
    if pipeline.state is not None and pipeline.state.is_cancelling():
        _cancel_ordered(client, pipeline.id)


def _cancel_ordered(client: SyncPrefectClient, pipeline: UUID) -> None:
    parent = FlowRunFilterParentFlowRunId(any_=[pipeline])
    for child in client.read_flow_runs(flow_run_filter=FlowRunFilter(parent_flow_run_id=parent)):
        if child.deployment_id is not None and not _is_final(child):
            state: State[Any] = Cancelling(message="its pipeline was cancelled")
            client.set_flow_run_state(child.id, state)
