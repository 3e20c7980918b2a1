"""The settings that `phusa up` runs Prefect with, and where it keeps its logs."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flows.operations.recording import RECORDING

POOLS = ("cpu", "gpu")
ZOMBIES = "phusa: runs without a heartbeat are crashed"
HEARTBEAT_S = 30  # the least that Prefect 3.8 takes
# Four beats: a server that restarts (13 s cold) and a machine that swaps lose one or two, and a
# run that is called dead while it lives would be started a second time.
ZOMBIE_AFTER_S = 4 * HEARTBEAT_S
WORKER_HEARTBEAT_S = 5  # a worker is shown as offline after three

PROJECT = Path(__file__).parents[2]  # where prefect.yaml lies


@dataclass(frozen=True)
class Wanted:
    """What the command line asks `phusa up` for. `store` is an address, `recipe` a whole path."""

    recipe: Path
    store: str
    host: str = "127.0.0.1"
    port: int = 4200
    database: str | None = None
    gpu: bool = True


def prefect_home(environment: Mapping[str, str] = os.environ) -> Path:
    """Where Prefect keeps its SQLite database; `phusa up` its logs and its lock."""
    return Path(environment.get("PREFECT_HOME") or "~/.prefect").expanduser().resolve()


def worker_name(pool: str, host: str) -> str:
    """The name of the worker that `phusa up` starts for a pool on one machine."""
    return f"phusa-up-{pool}-{host}"


def reachable(host: str) -> str:
    """The host under which this machine reaches a server that listens on `host`."""
    if host in ("0.0.0.0", ""):  # noqa: S104
        return "127.0.0.1"
    if ":" in host:
        return "[::1]" if host == "::" else f"[{host}]"
    return host


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches a server that listens on `host`."""
    return host in ("localhost", "::1") or host.startswith("127.")


def asyncpg(database: str) -> str:
    """The URL as Prefect takes it: it wants the driver named."""
    for scheme in ("postgres://", "postgresql://"):
        if database.startswith(scheme):
            return "postgresql+asyncpg://" + database.removeprefix(scheme)
    return database


def service_environment(base: Mapping[str, str], wanted: Wanted) -> dict[str, str]:
    """The environment of the server, of `prefect deploy` and of the workers with their runs.

    A PREFECT_API_URL or key for another server does not get through; what else the user has set
    stays.
    """
    url = f"http://{reachable(wanted.host)}:{wanted.port}"
    own = RECORDING | {
        # A limit's leases live in the server's memory by default: a restart of the server would
        # crash the runs that hold one.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
            "prefect.server.concurrency.lease_storage.filesystem"
        ),
        # Each new client would ask the server for its version, once and without trying again: a
        # stage that begins while the server restarts would fail. `phusa doctor` compares them.
        "PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED": "false",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S),
        "PREFECT_WORKER_HEARTBEAT_SECONDS": str(WORKER_HEARTBEAT_S),
        "PREFECT_WORKER_QUERY_SECONDS": "5",
        # For cancelling there is nothing to set: a run's worker hears of it over a websocket within
        # a second, and without one asks every 10 s, which is fixed in Prefect 3.8.
    }
    env = own | {name: value for name, value in base.items() if name != "PREFECT_API_KEY"}
    env |= {
        "PREFECT_API_URL": f"{url}/api",
        "PREFECT_SERVER_API_HOST": wanted.host,
        "PREFECT_SERVER_API_PORT": str(wanted.port),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "DO_NOT_TRACK": "1",
        "PYTHONUNBUFFERED": "1",
        "PHUSA_RECIPE": str(wanted.recipe),
        "PHUSA_STORE": wanted.store,
    }
    if wanted.database:
        env["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = asyncpg(wanted.database)
    if "PREFECT_SERVER_API_AUTH_STRING" in env:
        env["PREFECT_API_AUTH_STRING"] = env["PREFECT_SERVER_API_AUTH_STRING"]
    if not is_loopback(wanted.host):
        # A browser elsewhere cannot reach what the UI is told by default: this machine's loopback.
        seen = socket.getfqdn() if wanted.host in ("0.0.0.0", "::") else wanted.host  # noqa: S104
        env.setdefault("PREFECT_SERVER_UI_API_URL", f"http://{seen}:{wanted.port}/api")
    return env
