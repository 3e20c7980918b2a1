"""Work pools with their workers, deployments with their schedules."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import yaml

from flows.operations.doctor.finding import Finding, Place, error, ok, warning
from flows.operations.settings import POOLS, PROJECT

if TYPE_CHECKING:
    from prefect.client.schemas.responses import DeploymentResponse

_MISSED_BEATS = 3
_LATE = timedelta(seconds=60)
_DEPLOY = "prefect --no-prompt deploy --all"


def pools(place: Place) -> list[Finding]:
    """Each pool: there, not paused, with a worker online and its slots in view."""
    return [finding for name in POOLS for finding in _pool(place, name)]


def _pool(place: Place, name: str) -> list[Finding]:
    from prefect.exceptions import ObjectNotFound

    check = f"work pool {name}"
    try:
        pool = place.api.read_work_pool(name)
    except ObjectNotFound:
        remedy = f"Run prefect work-pool create {name} --type process, or start `phusa up`."
        return [error(check, "not on the server", "a work pool of that name", remedy)]
    found = []
    if pool.is_paused:
        remedy = f"Run prefect work-pool resume {name}"
        found.append(error(check, "paused: none of its runs starts", "not paused", remedy))
    online = _online(place, name)
    if not online:
        remedy = f"Start one: prefect worker start --pool {name}, or `phusa up`."
        seen = "no worker online: its runs wait"
        found.append(error(check, seen, "at least one worker", remedy))
    if pool.concurrency_limit is None and name == "gpu":
        remedy = f"Run prefect work-pool set-concurrency-limit {name} 1"
        seen = "no limit: two trainings would share one GPU"
        found.append(warning(check, seen, "as many at once as there are GPUs", remedy))
    limit = "no limit" if pool.concurrency_limit is None else f"{pool.concurrency_limit} at once"
    return found or [ok(check, f"type {pool.type}, {limit}, online: {', '.join(online)}")]


def _online(place: Place, pool: str) -> list[str]:
    """Workers whose last heartbeat is recent; the server itself notices up to 15 s later."""
    found = []
    for worker in place.api.read_workers_for_work_pool(pool):
        patience = timedelta(seconds=_MISSED_BEATS * (worker.heartbeat_interval_seconds or 30))
        last = worker.last_heartbeat_time
        if last is not None and place.now - last <= patience:
            found.append(worker.name)
    return found


def deployments(place: Place) -> list[Finding]:
    """Those that prefect.yaml declares: on the server, and of this checkout."""
    declared = yaml.safe_load((PROJECT / "prefect.yaml").read_text())["deployments"]
    present = {(one.name, one.entrypoint): one for one in _deployments(place)}
    wanted = {(one["name"], one["entrypoint"]): one for one in declared}
    missing = [f"{entry.rpartition(':')[2]}/{name}" for name, entry in wanted.keys() - present]
    if missing:
        seen = f"not on the server: {', '.join(sorted(missing))}"
        expected = f"the {len(wanted)} of prefect.yaml"
        return [error("deployments", seen, expected, f"Run {_DEPLOY}, or start `phusa up`.")]
    elsewhere = {_folder(present[key]) for key in wanted} - {str(PROJECT), None}
    if elsewhere:
        seen = f"made from another folder: {', '.join(sorted(map(str, elsewhere)))}"
        remedy = f"If they should run this code: {_DEPLOY}"
        return [warning("deployments", seen, str(PROJECT), remedy)]
    return [ok("deployments", f"all {len(wanted)} of prefect.yaml")]


def _deployments(place: Place) -> list[DeploymentResponse]:
    return list(place.api.read_deployments(limit=200))


def _folder(deployment: DeploymentResponse) -> Any:
    """Where its code is taken from, if that is a folder of the worker's machine."""
    for step in deployment.pull_steps or ():
        for settings in step.values():
            if isinstance(settings, dict) and "directory" in settings:
                return settings["directory"]
    return None


def schedules(place: Place) -> list[Finding]:
    """Schedules that make no runs, and runs whose time has passed without a worker taking them."""
    found = []
    active = [d for d in _deployments(place) if not d.paused and any(s.active for s in d.schedules)]
    for one in active:
        if not _scheduled(place, one.id):
            found.append(
                error(
                    "schedules",
                    f"deployment {one.name} has a schedule and no run in sight",
                    "runs scheduled ahead",
                    "Look into the server's log; SQLAlchemy 2.1 is the usual cause, and a server "
                    "started with --no-scheduler.",
                )
            )
    due = place.now - _LATE
    late = [run for run in _scheduled(place) if (run.expected_start_time or place.now) < due]
    if late:
        names = ", ".join(run.name for run in late[:3])
        found.append(
            warning(
                "late runs",
                f"{len(late)} past their time: {names}{' …' if len(late) > 3 else ''}",
                "none",
                "Is their pool full (its limit), paused, or without a worker? See the lines above.",
            )
        )
    return found or [ok("schedules", f"{len(active)} active, no run is late")]


def _scheduled(place: Place, deployment: Any = None) -> list[Any]:
    from prefect.client.schemas.filters import (
        DeploymentFilter,
        DeploymentFilterId,
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
    )
    from prefect.client.schemas.objects import StateType
    from prefect.client.schemas.sorting import FlowRunSort

    one = None if deployment is None else DeploymentFilter(id=DeploymentFilterId(any_=[deployment]))
    waiting = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED]))
    return list(
        place.api.read_flow_runs(
            flow_run_filter=FlowRunFilter(state=waiting),
            deployment_filter=one,
            sort=FlowRunSort.EXPECTED_START_TIME_ASC,
            limit=100,
        )
    )
