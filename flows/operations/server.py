"""The Prefect server that `phusa up` starts: its port, its health, its pools and its automation."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from flows.operations.settings import ZOMBIE_AFTER_S, ZOMBIES, reachable
from storage.errors import Fault, RequestError

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.events.schemas.automations import AutomationCore

_RUNS_AT_ONCE = {"cpu": max(2, (os.cpu_count() or 1) // 2), "gpu": 1}
# A run in one of these needs no heartbeat. `Cancelling` is not one of them: a run whose worker
# died while it was being cancelled would hold its slot for ever.
_AT_REST = (
    "Completed",
    "Failed",
    "TimedOut",
    "Crashed",
    "Cancelled",
    "Paused",
    "Suspended",
    "Scheduled",
    "AwaitingRetry",
    "AwaitingConcurrencySlot",
)


def ask(url: str, timeout_s: float) -> Any:
    """The JSON at a URL. Raises OSError (no answer, an HTTP error) or ValueError (no JSON)."""
    with urllib.request.urlopen(url, timeout=timeout_s) as answer:
        return json.loads(answer.read())


def is_healthy(api_url: str, timeout_s: float = 2.0) -> bool:
    with contextlib.suppress(OSError, ValueError):
        return ask(f"{api_url}/health", timeout_s) is True
    return False


def check_port(host: str, port: int) -> None:
    """Raise RequestError if the server could not listen there, saying who does."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except socket.gaierror as error:
        remedy = "Give --host an address of this machine: 127.0.0.1, or 0.0.0.0 for all of them."
        raise RequestError(Fault("--host", f"{host!r} ({error})", "a host", remedy)) from None
    except OSError as error:
        raise RequestError(
            Fault(
                f"port {port} of {host}",
                _listener(host, port, error),
                "a free port",
                f"Choose another with --port {port + 1}, or stop that one first.",
            )
        ) from None


def _listener(host: str, port: int, error: OSError) -> str:
    url = f"http://{reachable(host)}:{port}"
    with contextlib.suppress(OSError, ValueError):
        return f"a Prefect server, version {ask(f'{url}/api/admin/version', 2.0)}, at {url}"
    return f"another program ({error.strerror})"


def connect(api_url: str, env: Mapping[str, str], timeout_s: float = 20.0) -> SyncPrefectClient:
    """A client of that server, whatever the profile says."""
    from prefect.client.orchestration import SyncPrefectClient

    auth = env.get("PREFECT_API_AUTH_STRING")
    return SyncPrefectClient(api_url, auth_string=auth, httpx_settings={"timeout": timeout_s})


@dataclass(frozen=True)
class Pool:
    """A work pool as it stands; `limit` is how many runs it lets go at once."""

    name: str
    limit: int | None
    is_new: bool
    is_paused: bool


def ensure_pool(client: SyncPrefectClient, name: str) -> Pool:
    """Create the pool, or take it as it is: a limit that someone set stays.

    Raises RequestError for a pool that is not for processes.
    """
    from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
    from prefect.exceptions import ObjectNotFound

    limit = _RUNS_AT_ONCE[name]
    try:
        pool = client.read_work_pool(name)
    except ObjectNotFound:
        made = WorkPoolCreate(
            name=name,
            type="process",
            concurrency_limit=limit,
            base_job_template=_process_template(),
            description={"cpu": "data stages and pipelines", "gpu": "training"}[name],
        )
        client.create_work_pool(made)
        return Pool(name, limit, is_new=True, is_paused=False)
    if pool.type != "process":
        raise RequestError(
            Fault(
                f"work pool {name}",
                f"type {pool.type}",
                "type process, which this machine's workers are",
                f"Start its workers where they belong, or take it away: prefect work-pool delete "
                f"{name}." + (" --no-gpu leaves it alone." if name == "gpu" else ""),
            )
        )
    if pool.concurrency_limit is None:
        client.update_work_pool(name, WorkPoolUpdate(concurrency_limit=limit))
    return Pool(name, pool.concurrency_limit or limit, is_new=False, is_paused=pool.is_paused)


def _process_template() -> dict[str, Any]:
    from prefect.workers.process import ProcessWorker

    return ProcessWorker.get_default_base_job_template()


def zombie_automation() -> AutomationCore:
    """Runs whose heartbeats stop are marked Crashed, so that they give their slot back.

    Source: https://docs.prefect.io/v3/advanced/detect-zombie-flows
    """
    from prefect.client.schemas.objects import StateType
    from prefect.events.actions import ChangeFlowRunState
    from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
    from prefect.events.schemas.events import ResourceSpecification

    beat = "prefect.flow-run.heartbeat"
    trigger = EventTrigger(
        match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
        for_each={"prefect.resource.id"},
        after={beat},
        expect={beat, *(f"prefect.flow-run.{state}" for state in _AT_REST)},
        posture=Posture.Proactive,
        threshold=1,
        within=timedelta(seconds=ZOMBIE_AFTER_S),
    )
    message = f"No heartbeat for {ZOMBIE_AFTER_S} s: the run's process or its machine is gone."
    return AutomationCore(
        name=ZOMBIES,
        description="Made by `phusa up`. Retry such a run: it goes on from what it saved.",
        trigger=trigger,
        actions=[ChangeFlowRunState(state=StateType.CRASHED, message=message)],
    )


def ensure_zombie_automation(client: SyncPrefectClient) -> None:
    """Create the automation, or bring the one of its name up to date; switched off, it stays so."""
    wanted = zombie_automation()
    present = client.read_automations_by_name(ZOMBIES)
    if not present:
        client.create_automation(wanted)
        return
    first = present[0]
    current = wanted.model_copy(update={"enabled": first.enabled})
    if first.trigger != current.trigger or first.actions != current.actions:
        client.update_automation(first.id, current)


def workers_online(client: SyncPrefectClient, names: Mapping[str, str]) -> set[str]:
    """Pools of `names` (pool: worker) whose worker has reported to the server."""
    found = set()
    for pool, name in names.items():
        workers = client.read_workers_for_work_pool(pool)
        if any(w.name == name and w.status == "ONLINE" for w in workers):
            found.add(pool)
    return found


def forget_workers(client: SyncPrefectClient, names: Mapping[str, str]) -> None:
    """Take stopped workers off the pools' lists; they would be shown as online for a while."""
    for pool, name in names.items():
        client.request(
            "DELETE",
            "/work_pools/{work_pool_name}/workers/{name}",
            path_params={"work_pool_name": pool, "name": name},
        )
