"""The Prefect server: its version, its database, what it must be set to, and its automation."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flows.operations.doctor.finding import Finding, Place, error, ok, warning
from flows.operations.server import zombie_automation
from flows.operations.settings import HEARTBEAT_S, ZOMBIES, is_loopback

_MANY_RUNS = 5_000
_GUIDE = "docs/operations.md"


def versions(place: Place) -> list[Finding]:
    """This machine's Prefect against the server's."""
    from prefect import __version__

    server = str(place.api.api_version())
    if server == __version__:
        return [ok("Prefect versions", f"{server} here and on the server")]
    found = f"{__version__} here, {server} on the server"
    if server.split(".")[:2] == __version__.split(".")[:2]:
        return [ok("Prefect versions", found)]
    remedy = "Upgrade the older one; the server first, then its workers."
    return [warning("Prefect versions", found, "the same minor version", remedy)]


def database(place: Place) -> list[Finding]:
    """Whether the server is on SQLite, seen if its files are on this machine, and how full."""
    num_runs = place.api.count_flow_runs()
    file = Path(_settings(place)["home"]) / "prefect.db"
    host = urlsplit(place.api_url or "").hostname or ""
    # SQLite keeps the -wal file as long as a connection is open, and takes it away with the last.
    if not is_loopback(host) or not file.with_name("prefect.db-wal").exists():
        return [ok("database", f"{num_runs:,} runs; not an SQLite file of this machine")]
    found = f"SQLite, {num_runs:,} runs: {file}"
    if num_runs < _MANY_RUNS:
        return [ok("database", found)]
    remedy = f"Move to PostgreSQL ({_GUIDE}), or delete old runs."
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
    wanted = zombie_automation()
    present = place.api.read_automations_by_name(ZOMBIES)
    again = "Start `phusa up` once on this server, or make it in the UI under Automations"
    if not present:
        found = "none that marks runs without a heartbeat as Crashed"
        return [error("zombie automation", found, f"one named {ZOMBIES!r}", f"{again}.")]
    if not present[0].enabled:
        return [error("zombie automation", "switched off", "on", "Switch it on in the UI.")]
    within = getattr(present[0].trigger, "within", None)
    expected = getattr(wanted.trigger, "within", None)
    if within is None or expected is None or within.total_seconds() < 3 * HEARTBEAT_S:
        found = f"fires after {within}"
        at_least = f"at least three heartbeats of {HEARTBEAT_S} s"
        return [warning("zombie automation", found, at_least, f"{again}.")]
    seconds = within.total_seconds()
    return [ok("zombie automation", f"on; a run silent for {seconds:.0f} s is Crashed")]
