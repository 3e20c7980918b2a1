"""The Prefect server of `phusa up`: its settings, its port, its pools and its automation."""

from __future__ import annotations

import json
import os
import re
import socket
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from storage.errors import Fault, RequestError, RunError

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

PROJECT = Path(__file__).parents[2]  # where prefect.yaml lies
POOLS = ("cpu", "gpu")
_RUNS_AT_ONCE = {"cpu": max(2, (os.cpu_count() or 1) // 2), "gpu": 1}

HEARTBEAT_S = 30  # the least that Prefect 3.8 takes
# Four beats: a server that restarts (13 s cold) and a machine that swaps lose one or two, and a
# run that is called dead while it lives would be started a second time.
ZOMBIE_AFTER_S = 4 * HEARTBEAT_S
_MISSED_BEATS = 3
ZOMBIES = "phusa: runs without a heartbeat are crashed"
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

_ATTEMPTS, _AGAIN_S = 4, 5.0
_BUSY = re.compile(
    r"\b50[0234]\b|Service Unavailable|database is locked"
    r"|(Connect|Read|Write|Pool|RemoteProtocol)(Error|Timeout)"
)
_T = TypeVar("_T")

RECORDING = {
    # Prefect 3.8 records each state of each task in a transaction of its own: 17 tasks a second
    # with SQLite on two busy cores, 100 s behind a flow of 2,000 empty tasks. Two such flows at
    # once filled the server's queue of 10,000 events, and it dropped 3,395: tasks that had
    # completed stayed Pending or Running. In batches it was 3 s behind one and 12 s behind two.
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "200",
    # Seconds, of smaller batches. Prefect 3.8.8 cuts it to a whole number: at 0.5 it was 0, and the
    # server turned round in its event loop, a whole core for nothing.
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    # Both write to one SQLite: with batches of 200 here, too, the recorder fell behind by more
    # than its queue holds, in two of five trials of two flows at once.
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "1000",
    # Seconds that a new connection waits for SQLite's lock (10 by default) until Prefect's own
    # busy_timeout of 60 holds. What finds it locked all the same is answered by a 503.
    "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
}
"""Settings under which a Prefect server keeps up with thousands of short tasks."""

_SETTINGS = RECORDING | {
    # A limit's leases live in the server's memory by default: a restart of the server would
    # crash the runs that hold one.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
        "prefect.server.concurrency.lease_storage.filesystem"
    ),
    # Each new client would ask the server for its version, once and without trying again: a
    # stage that begins while the server restarts would fail. `phusa doctor` compares them.
    "PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED": "false",
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S),
    "PREFECT_WORKER_HEARTBEAT_SECONDS": "5",
    "PREFECT_WORKER_QUERY_SECONDS": "5",
    # For cancelling there is nothing to set: a run's worker hears of it over a websocket within
    # a second, and without one asks every 10 s, which is fixed in Prefect 3.8.
}


@dataclass(frozen=True)
class UpOptions:
    """What the command line asks `phusa up` for. `store` is an address, `recipe` a whole path."""

    recipe: Path
    store: str
    host: str = "127.0.0.1"
    port: int = 4200
    database: str | None = None
    gpu: bool = True


def prefect_home() -> Path:
    """Where Prefect keeps its SQLite database; `phusa up` its logs and its lock."""
    return Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser().resolve()


def names_a_server() -> bool:
    """Whether a PREFECT_API_URL may be set where Prefect reads; asking it takes a second."""
    if os.environ.get("PREFECT_API_URL"):
        return True
    profiles = os.environ.get("PREFECT_PROFILES_PATH", prefect_home() / "profiles.toml")
    said = {
        profiles: "PREFECT_API_URL",
        ".env": "PREFECT_API_URL",
        "prefect.toml": "url",
        "pyproject.toml": "tool.prefect",
    }
    for path, word in said.items():
        with suppress(OSError):
            if word in Path(path).read_text(errors="replace"):
                return True
    return False


def server_url(host: str, port: int) -> str:
    """The URL under which this machine reaches a server that listens on `host`."""
    host = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches a server that listens on `host`."""
    return host in ("localhost", "::1") or host.startswith("127.")


def service_environment(base: Mapping[str, str], options: UpOptions) -> dict[str, str]:
    """The environment of the server, of `prefect deploy` and of the workers with their runs.

    A PREFECT_API_URL or key for another server does not get through; what else the user has set
    stays.
    """
    env = _SETTINGS | {name: value for name, value in base.items() if name != "PREFECT_API_KEY"}
    env |= {
        "PREFECT_API_URL": f"{server_url(options.host, options.port)}/api",
        "PREFECT_SERVER_API_HOST": options.host,
        "PREFECT_SERVER_API_PORT": str(options.port),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "DO_NOT_TRACK": "1",
        "PYTHONUNBUFFERED": "1",
        "PHUSA_RECIPE": str(options.recipe),
        "PHUSA_STORE": options.store,
    }
    if options.database:
        scheme, _, rest = options.database.partition("://")
        named = scheme in ("postgres", "postgresql")  # Prefect wants the driver named
        database = f"postgresql+asyncpg://{rest}" if named else options.database
        env["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = database
    if "PREFECT_SERVER_API_AUTH_STRING" in env:
        env["PREFECT_API_AUTH_STRING"] = env["PREFECT_SERVER_API_AUTH_STRING"]
    if not is_loopback(options.host):
        # A browser elsewhere cannot reach what the UI is told by default: this machine's loopback.
        everywhere = options.host in ("0.0.0.0", "::")  # noqa: S104
        seen = socket.getfqdn() if everywhere else options.host
        env.setdefault("PREFECT_SERVER_UI_API_URL", f"http://{seen}:{options.port}/api")
    return env


def read_json(url: str, timeout_s: float = 2.0) -> Any:
    """The JSON at a URL. Raises OSError (no answer, an HTTP error) or ValueError (no JSON)."""
    with urllib.request.urlopen(url, timeout=timeout_s) as answer:
        return json.loads(answer.read())


def is_healthy(api_url: str) -> bool:
    with suppress(OSError, ValueError):
        return read_json(f"{api_url}/health") is True
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
        url, listener = server_url(host, port), f"another program ({error.strerror})"
        with suppress(OSError, ValueError):
            version = read_json(f"{url}/api/admin/version")
            listener = f"a Prefect server, version {version}, at {url}"
        remedy = f"Choose another with --port {port + 1}, or stop that one first."
        fault = Fault(f"port {port} of {host}", listener, "a free port", remedy)
        raise RequestError(fault) from None


def patiently(
    ask: Callable[[], _T], wait: Callable[[float], bool], say: Callable[[str], None]
) -> _T | None:
    """Ask what may be asked twice, again while the server is busy; None if `wait` was stopped.

    Prefect's client tries a request six times within a minute; a server that comes up beside its
    workers on two busy cores has taken longer. Raises RunError where it stays busy.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return ask()
        except Exception as error:  # Prefect's, httpx's, or the end of a log
            if not _BUSY.search(f"{type(error).__name__}: {error}"):
                raise
            if attempt == _ATTEMPTS:
                remedy = "Give it less to do at once, then start phusa up again."
                found, expected = f"busy {attempt} times: {error}", "one that answers"
                fault = Fault("the Prefect server", found, expected, remedy, "server_busy")
                raise RunError(fault) from error
        say(f"the server is busy; once more ({attempt + 1} of {_ATTEMPTS})")
        if wait(_AGAIN_S * attempt):
            break
    return None


def connect(api_url: str, env: Mapping[str, str], timeout_s: float = 20.0) -> SyncPrefectClient:
    """A client of that server, whatever the profile says."""
    from prefect.client.orchestration import SyncPrefectClient

    auth = env.get("PREFECT_API_AUTH_STRING")
    return SyncPrefectClient(api_url, auth_string=auth, httpx_settings={"timeout": timeout_s})


def ensure_pool(client: SyncPrefectClient, name: str) -> str:
    """Create the pool, or take it as it is: a limit that someone set stays. Says what it is.

    Raises RequestError for a pool that is not for processes.
    """
    from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
    from prefect.exceptions import ObjectNotFound
    from prefect.workers.process import ProcessWorker

    limit = _RUNS_AT_ONCE[name]
    try:
        pool = client.read_work_pool(name)
    except ObjectNotFound:
        made = WorkPoolCreate(
            name=name,
            type="process",
            concurrency_limit=limit,
            base_job_template=ProcessWorker.get_default_base_job_template(),
            description={"cpu": "data stages and pipelines", "gpu": "training"}[name],
        )
        client.create_work_pool(made)
        return f"{name} ({limit} at once, new)"
    if pool.type != "process":
        remedy = "Start its workers where they belong, or take it away: prefect work-pool delete "
        remedy += "gpu. --no-gpu leaves it alone." if name == "gpu" else f"{name}."
        expected = "type process, which this machine's workers are"
        raise RequestError(Fault(f"work pool {name}", f"type {pool.type}", expected, remedy))
    if pool.concurrency_limit is None:
        client.update_work_pool(name, WorkPoolUpdate(concurrency_limit=limit))
    paused = ", paused: nothing starts there" if pool.is_paused else ""
    return f"{name} ({pool.concurrency_limit or limit} at once{paused})"


def ensure_zombie_automation(client: SyncPrefectClient) -> None:
    """Have runs whose heartbeats stop marked Crashed, so that they give their slot back.

    Creates the automation, or brings the one of its name up to date; switched off, it stays so.
    Source: https://docs.prefect.io/v3/advanced/detect-zombie-flows
    """
    from prefect.events.schemas.automations import AutomationCore

    beat = "prefect.flow-run.heartbeat"
    trigger = {
        "type": "event",
        "posture": "Proactive",
        "match": {"prefect.resource.id": ["prefect.flow-run.*"]},
        "for_each": ["prefect.resource.id"],
        "after": [beat],
        "expect": [beat, *(f"prefect.flow-run.{state}" for state in _AT_REST)],
        "threshold": 1,
        "within": ZOMBIE_AFTER_S,
    }
    message = f"No heartbeat for {ZOMBIE_AFTER_S} s: the run's process or its machine is gone."
    action = {"type": "change-flow-run-state", "state": "CRASHED", "message": message}
    wanted = AutomationCore.model_validate(
        {
            "name": ZOMBIES,
            "description": "Made by `phusa up`. Retry such a run: it goes on from what it saved.",
            "trigger": trigger,
            "actions": [action],
        }
    )
    present = client.read_automations_by_name(ZOMBIES)
    if not present:
        client.create_automation(wanted)
        return
    first = present[0]
    if first.trigger != wanted.trigger or first.actions != wanted.actions:
        client.update_automation(first.id, wanted.model_copy(update={"enabled": first.enabled}))


def online_workers(client: SyncPrefectClient, pool: str, now: datetime | None = None) -> list[str]:
    """Workers whose last heartbeat is recent; the server itself notices up to 15 s later."""
    found, now = [], now or datetime.now(UTC)
    for worker in client.read_workers_for_work_pool(pool):
        patience = timedelta(seconds=_MISSED_BEATS * (worker.heartbeat_interval_seconds or 30))
        last = worker.last_heartbeat_time
        if last is not None and now - last <= patience:
            found.append(worker.name)
    return found


def forget_workers(client: SyncPrefectClient, names: Iterable[tuple[str, str]]) -> None:
    """Take stopped workers off the pools' lists; they would be shown as online for a while."""
    for pool, name in names:
        path = {"work_pool_name": pool, "name": name}
        client.request("DELETE", "/work_pools/{work_pool_name}/workers/{name}", path_params=path)
