"""Runs and limits that hold a slot and do nothing."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from flows.operations.doctor.finding import Finding, Place, error, ok
from flows.operations.flow_runs import unfinished
from flows.operations.settings import ZOMBIES

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

_DEFAULT_BEAT = timedelta(seconds=180)  # of a worker that `phusa up` did not start
_BEATS = 3
_CANCELLING = timedelta(minutes=5)  # Prefect's own clean-up steps in then
_PENDING = timedelta(minutes=15)  # pulling an image takes minutes


def stuck_runs(place: Place) -> list[Finding]:
    """Runs in progress of which nothing has been heard for too long."""
    going = unfinished(place.api)
    silent = _silence(place)
    found = []
    for run in going:
        quiet = place.now - _last_heard(place, run)
        state = run.state_name or "?"
        limit = {"Pending": _PENDING, "Cancelling": _CANCELLING}.get(state, silent)
        if quiet > limit:
            held = f"a slot of pool {run.work_pool_name}"
            found.append(
                error(
                    "stuck runs",
                    f"{run.name} is {state}, silent for {_said(quiet)}, and holds {held}",
                    f"a heartbeat within {_said(limit)}",
                    "If its process is gone: in the UI, the run's menu, Change state, Crashed; "
                    f"or prefect flow-run delete {run.id}",
                )
            )
    return found or [ok("stuck runs", f"none; {len(going)} in progress")]


def _silence(place: Place) -> timedelta:
    """How long a running run may be silent: as the automation says, where there is one."""
    present = place.api.read_automations_by_name(ZOMBIES)
    within = getattr(present[0].trigger, "within", None) if present else None
    return within if isinstance(within, timedelta) else _BEATS * _DEFAULT_BEAT


def _last_heard(place: Place, run: FlowRun) -> datetime:
    """The later of its last change of state and its last heartbeat."""
    from prefect.events.filters import (
        EventFilter,
        EventNameFilter,
        EventOccurredFilter,
        EventResourceFilter,
    )

    assert run.state is not None, "a run in progress has a state"
    beats = EventFilter(
        event=EventNameFilter(name=["prefect.flow-run.heartbeat"]),
        resource=EventResourceFilter(id=[f"prefect.flow-run.{run.id}"]),
        occurred=EventOccurredFilter(since=run.state.timestamp),
    )
    events = place.api.read_events(beats, limit=1).events
    return max([run.state.timestamp, *(event.occurred for event in events)])


def _said(length: timedelta) -> str:
    minutes = length.total_seconds() / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.0f} h"


def held_slots(place: Place) -> list[Finding]:
    """Slots of deployments' concurrency limits that no run in progress accounts for."""
    going = Counter(run.deployment_id for run in unfinished(place.api))
    limits = place.api.read_global_concurrency_limits(limit=200)
    found = []
    for limit in limits:
        kind, _, identity = limit.name.partition(":")
        if kind != "deployment" or limit.active_slots <= going[UUID(identity)]:
            continue
        name = place.api.read_deployment(UUID(identity)).name
        found.append(
            error(
                "concurrency limits",
                f"{limit.active_slots} of {limit.limit} slots of deployment {name} taken, "
                f"{going[UUID(identity)]} of its runs in progress",
                "one slot for each run",
                "They come free when their leases end, within 5 minutes; if not: prefect "
                f"global-concurrency-limit update {limit.name} --active-slots "
                f"{going[UUID(identity)]}",
            )
        )
    return found or [ok("concurrency limits", f"{len(limits)}, no slot held for nothing")]
