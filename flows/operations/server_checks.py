"""Checks of `phusa doctor` that ask the Prefect server: what it is, what it runs, what is stuck."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import UUID

import yaml

from flows.operations import server
from flows.operations.checks import Finding, Place, error, ok, warning
from flows.operations.flow_runs import read_runs, unfinished
from flows.operations.server import HEARTBEAT_S, POOLS, PROJECT, ZOMBIES, is_loopback

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun
    from prefect.client.schemas.responses import DeploymentResponse

_MANY_RUNS = 5_000
_LATE = timedelta(seconds=60)
_DEPLOY = "prefect --no-prompt deploy --all"
_SILENT = timedelta(seconds=3 * 180)  # three beats of a worker that `phusa up` did not start
_CANCELLING = timedelta(minutes=5)  # Prefect's own clean-up steps in then
_PENDING = timedelta(minutes=15)  # pulling an image takes minutes


# --- the server itself ----------------------------------------------------------------------------


def versions(place: Place) -> list[Finding]:
    """This machine's Prefect against the server's."""
    from prefect import __version__

    there = str(place.api.api_version())
    if there == __version__:
        return [ok("Prefect versions", f"{there} here and on the server")]
    found = f"{__version__} here, {there} on the server"
    if there.split(".")[:2] == __version__.split(".")[:2]:
        return [ok("Prefect versions", found)]
    remedy = "Upgrade the older one; the server first, then its workers."
    return [warning("Prefect versions", found, "the same minor version", remedy)]


def database(place: Place) -> list[Finding]:
    """Whether the server is on SQLite, seen if its files are on this machine, and how full."""
    num_runs = place.api.count_flow_runs()
    file = Path(_settings(place)["home"]) / "prefect.db"
    host = urlsplit(place.api_url).hostname or ""
    # SQLite keeps the -wal file as long as a connection is open, and takes it away with the last.
    if not is_loopback(host) or not file.with_name("prefect.db-wal").exists():
        return [ok("database", f"{num_runs:,} runs; not an SQLite file of this machine")]
    found = f"SQLite, {num_runs:,} runs: {file}"
    if num_runs < _MANY_RUNS:
        return [ok("database", found)]
    remedy = "Move to PostgreSQL (docs/operations.md), or delete old runs."
    return [warning("database", found, f"PostgreSQL from {_MANY_RUNS:,} runs on", remedy)]


def limits_survive(place: Place) -> list[Finding]:
    """Whether concurrency limits' leases outlive a restart of the server."""
    storage = str(_settings(place)["server"]["concurrency"]["lease_storage"])
    kind = storage.rpartition(".")[2]
    if kind != "memory":
        return [ok("lease storage", kind)]
    remedy = (
        "Set PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE="
        "prefect.server.concurrency.lease_storage.filesystem for the server, as `phusa up` does."
    )
    found = "memory: a restart of the server crashes runs that hold a deployment's limit"
    return [warning("lease storage", found, "filesystem", remedy)]


def _settings(place: Place) -> dict[str, Any]:
    return dict(place.api.request("GET", "/admin/settings").json())


def automation(place: Place) -> list[Finding]:
    """The automation that marks runs without a heartbeat as Crashed."""
    check = "zombie automation"
    present = place.api.read_automations_by_name(ZOMBIES)
    again = "Start `phusa up` once on this server, or make it in the UI under Automations."
    if not present:
        found = "none that marks runs without a heartbeat as Crashed"
        return [error(check, found, f"one named {ZOMBIES!r}", again)]
    if not present[0].enabled:
        return [error(check, "switched off", "on", "Switch it on in the UI.")]
    within = getattr(present[0].trigger, "within", None)
    if within is None or within.total_seconds() < 3 * HEARTBEAT_S:
        at_least = f"at least three heartbeats of {HEARTBEAT_S} s"
        return [warning(check, f"fires after {within}", at_least, again)]
    return [ok(check, f"on; a run silent for {within.total_seconds():.0f} s is Crashed")]


# --- work pools, deployments, schedules -----------------------------------------------------------


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
    online = server.online_workers(place.api, name, place.now)
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


def deployments(place: Place) -> list[Finding]:
    """Those that prefect.yaml declares: on the server, and of this checkout."""
    declared = yaml.safe_load((PROJECT / "prefect.yaml").read_text())["deployments"]
    present = {(one.name, one.entrypoint): one for one in place.api.read_deployments(limit=200)}
    wanted = {(one["name"], one["entrypoint"]) for one in declared}
    missing = [f"{entry.rpartition(':')[2]}/{name}" for name, entry in wanted - present.keys()]
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


def _folder(deployment: DeploymentResponse) -> Any:
    """Where its code is taken from, if that is a folder of the worker's machine."""
    for step in deployment.pull_steps or ():
        for settings in step.values():
            if isinstance(settings, dict) and "directory" in settings:
                return settings["directory"]
    return None


def schedules(place: Place) -> list[Finding]:
    """Schedules that make no runs, and runs whose time has passed without a worker taking them."""
    every = place.api.read_deployments(limit=200)
    active = [one for one in every if not one.paused and any(s.active for s in one.schedules)]
    scheduled = read_runs(place.api, "SCHEDULED")
    ahead = {run.deployment_id for run in scheduled}
    remedy = (
        "Look into the server's log; SQLAlchemy 2.1 is the usual cause, and a server started with "
        "--no-scheduler."
    )
    found = [
        error(
            "schedules",
            f"deployment {one.name} has a schedule and no run in sight",
            "runs scheduled ahead",
            remedy,
        )
        for one in active
        if one.id not in ahead
    ]
    due = place.now - _LATE
    late = [run for run in scheduled if (run.expected_start_time or place.now) < due]
    if late:
        late.sort(key=attrgetter("expected_start_time"))
        names = ", ".join(run.name for run in late[:3])
        seen = f"{len(late)} past their time: {names}{' …' if len(late) > 3 else ''}"
        remedy = "Is their pool full (its limit), paused, or without a worker? See the lines above."
        found.append(warning("late runs", seen, "none", remedy))
    return found or [ok("schedules", f"{len(active)} active, no run is late")]


# --- what holds a slot and does nothing -----------------------------------------------------------


def stuck_runs(place: Place) -> list[Finding]:
    """Runs in progress of which nothing has been heard for too long."""
    going = unfinished(place.api)
    # A running one may be silent for as long as the automation says, where there is one.
    present = place.api.read_automations_by_name(ZOMBIES)
    within = getattr(present[0].trigger, "within", None) if present else None
    silent = within if isinstance(within, timedelta) else _SILENT
    found = []
    for run in going:
        quiet = place.now - _last_heard(place, run)
        state = run.state_name or "?"
        limit = {"Pending": _PENDING, "Cancelling": _CANCELLING}.get(state, silent)
        if quiet > limit:
            held = f"a slot of pool {run.work_pool_name}"
            seen = f"{run.name} is {state}, silent for {_said(quiet)}, and holds {held}"
            remedy = (
                "If its process is gone: in the UI, the run's menu, Change state, Crashed; "
                f"or prefect flow-run delete {run.id}"
            )
            found.append(error("stuck runs", seen, f"a heartbeat within {_said(limit)}", remedy))
    return found or [ok("stuck runs", f"none; {len(going)} in progress")]


def _last_heard(place: Place, run: FlowRun) -> datetime:
    """The later of its last change of state and its last heartbeat."""
    from prefect.events.filters import EventFilter

    assert run.state is not None, "a run in progress has a state"
    wanted = {
        "event": {"name": ["prefect.flow-run.heartbeat"]},
        "resource": {"id": [f"prefect.flow-run.{run.id}"]},
        "occurred": {"since": run.state.timestamp},
    }
    events = place.api.read_events(EventFilter.model_validate(wanted), limit=1).events
    return max([run.state.timestamp, *(event.occurred for event in events)])


def _said(length: timedelta) -> str:
    minutes = length.total_seconds() / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.0f} h"


def held_slots(place: Place) -> list[Finding]:
    """Slots of deployments' concurrency limits that no run in progress accounts for."""
    runs = Counter(run.deployment_id for run in unfinished(place.api))
    limits = place.api.read_global_concurrency_limits(limit=200)
    found = []
    for limit in limits:
        kind, _, identity = limit.name.partition(":")
        if kind != "deployment" or limit.active_slots <= (going := runs[UUID(identity)]):
            continue
        name = place.api.read_deployment(UUID(identity)).name
        slots = f"{limit.active_slots} of {limit.limit} slots of deployment {name} taken"
        seen = f"{slots}, {going} of its runs in progress"
        remedy = (
            "They come free when their leases end, within 5 minutes; if not: prefect "
            f"global-concurrency-limit update {limit.name} --active-slots {going}"
        )
        found.append(error("concurrency limits", seen, "one slot for each run", remedy))
    return found or [ok("concurrency limits", f"{len(limits)}, no slot held for nothing")]
