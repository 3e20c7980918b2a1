"""The flow runs of this machine's workers: their processes, how they end, and what is said of them.

A Prefect 3.8 worker that is asked to stop (SIGINT, SIGTERM) kills its runs with SIGKILL within a
second and leaves them `Running` for ever. So the runs are ended first, while the worker is frozen
(SIGSTOP: it takes no new run into the freed slot): SIGTERM to the run's process group, as
Prefect's own cancelling does, and the run saves its checkpoint and reports itself Crashed.
"""

from __future__ import annotations

import os
import signal
from collections import defaultdict
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psutil

from flows.operations.processes import wait_or_kill

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun, State

GRACE_S = 30.0  # as Prefect gives a cancelled run
_PAGE = 200
_WORKER = "prefect.worker.name"


def run_processes(api_url: str, workers: Collection[str]) -> dict[str, list[psutil.Process]]:
    """By flow run id, the processes that these workers started for it, and all that came of them.

    Known by their environment, so also those whose worker is dead. Other users' are not seen.
    """
    found = defaultdict(list)
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            env = process.environ()
            run = env.get("PREFECT__FLOW_RUN_ID")
            ours = env.get("PREFECT__WORKER_NAME") in workers
            if run and ours and env.get("PREFECT_API_URL") == api_url:
                found[run].append(process)
    return dict(found)


def end_processes(runs: Mapping[str, list[psutil.Process]]) -> list[str]:
    """SIGTERM to the group of each run, then SIGKILL to what is left; ids of those killed so."""
    everything = [process for processes in runs.values() for process in processes]
    for group in {g for p in everything if (g := _group(p)) is not None}:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGTERM)
    killed = wait_or_kill(everything, GRACE_S)
    return [run for run, processes in runs.items() if any(p in killed for p in processes)]


def _group(process: psutil.Process) -> int | None:
    """Its process group, unless that is ours or its worker's: a run is in one of its own."""
    with suppress(ProcessLookupError, psutil.NoSuchProcess):
        group = os.getpgid(process.pid)
        return group if "PREFECT__FLOW_RUN_ID" in psutil.Process(group).environ() else None
    return None


def read_runs(client: SyncPrefectClient, *states: str) -> list[FlowRun]:
    """Every run whose state has one of these types, such as `RUNNING`."""
    from prefect.client.schemas.filters import FlowRunFilter

    wanted = FlowRunFilter.model_validate({"state": {"type": {"any_": states}}})
    found: list[FlowRun] = []
    while True:
        page = client.read_flow_runs(flow_run_filter=wanted, limit=_PAGE, offset=len(found))
        found += page
        if len(page) < _PAGE:
            return found


def _in_progress(client: SyncPrefectClient) -> list[FlowRun]:
    return read_runs(client, "PENDING", "RUNNING", "CANCELLING")


def unfinished(client: SyncPrefectClient) -> list[FlowRun]:
    """Runs of work pools that hold a slot: Pending, Running or Cancelling."""
    return [run for run in _in_progress(client) if run.work_pool_name is not None]


def settle(
    client: SyncPrefectClient, api_url: str, workers: Collection[str], why: str
) -> list[FlowRun]:
    """Give every run that these workers left behind, and that has no process, an honest state.

    Running becomes Crashed, Cancelling becomes Cancelled; what had not begun is Scheduled again.
    Returns those runs. The flows that ran inside one end with it.
    """
    alive = run_processes(api_url, workers)
    lost = [
        run
        for run in unfinished(client)
        if run.labels.get(_WORKER) in workers and str(run.id) not in alive
    ]
    for run in lost:
        _settle(client, run, why, may_begin_again=True)
    while inner := [r for r in _in_progress(client) if _outlived(client, r, workers)]:
        for run in inner:
            _settle(client, run, why, may_begin_again=False)
    return lost


def _settle(client: SyncPrefectClient, run: FlowRun, why: str, *, may_begin_again: bool) -> None:
    from prefect.states import Cancelled, Crashed, Scheduled

    assert run.state is not None, "a run in progress has a state"
    state: State[Any] = Crashed(message=f"{why}. Retry the run: it goes on from what it saved")
    if run.state.is_cancelling():
        state = Cancelled(message=f"{why}; the run had been cancelled")
    elif run.state.is_pending() and may_begin_again:
        state = Scheduled(message=f"{why}; not begun yet, so it is run again")
    client.set_flow_run_state(run.id, state, force=True)


def _outlived(client: SyncPrefectClient, run: FlowRun, workers: Collection[str]) -> bool:
    """Whether it ran inside a run of these workers, in the same process, and that one has ended."""
    if run.deployment_id is not None:
        return False
    outer = _parent(client, run)
    if outer is None or outer.state is None or not outer.state.is_final():
        return False
    while outer is not None and _WORKER not in outer.labels:
        outer = _parent(client, outer)
    return outer is not None and outer.labels[_WORKER] in workers


def _parent(client: SyncPrefectClient, run: FlowRun) -> FlowRun | None:
    if run.parent_task_run_id is None:
        return None
    identity = client.read_task_run(run.parent_task_run_id).flow_run_id
    return None if identity is None else client.read_flow_run(identity)
