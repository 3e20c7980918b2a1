"""`phusa doctor`: every check, in one list; a new check is a function and one line here."""

from __future__ import annotations

import threading
import time
import urllib.error
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from flows.operations.doctor.finding import Check, Finding, Place, error, ok
from flows.operations.doctor.gpu import gpu
from flows.operations.doctor.packages import packages, python
from flows.operations.doctor.pools import deployments, pools, schedules
from flows.operations.doctor.server import automation, database, limits_survive, versions
from flows.operations.doctor.storage import asking_once, disk, leftovers, store
from flows.operations.doctor.stuck import held_slots, stuck_runs
from flows.operations.instance import running_instance
from flows.operations.server import ask
from flows.operations.settings import prefect_home

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

HERE: tuple[Check, ...] = (python, packages)
ON_SERVER: tuple[Check, ...] = (
    versions,
    database,
    pools,
    deployments,
    schedules,
    stuck_runs,
    held_slots,
    automation,
    limits_survive,
)
AROUND: tuple[Check, ...] = (store, disk, leftovers, gpu)

_CONNECT_S = 3.0
_CHECK_S = 30.0  # torch may take that to import on a busy machine; hosts get 3 to 5 s


def examine(store_address: str | None) -> list[Finding]:
    """Run every check, all at once; one that raises or does not end is a finding itself."""
    place, reached = _place(store_address)
    checks = (*HERE, *(ON_SERVER if place.client is not None else ()), *AROUND)
    with asking_once():
        found = run_checks(checks, place)
    first, rest = chain(*found[: len(HERE)]), chain(*found[len(HERE) :])
    skipped = [] if place.client is not None else [_skipped(check) for check in ON_SERVER]
    return [*first, reached, *skipped, *rest]


def _skipped(check: Check) -> Finding:
    return Finding(_name(check), "skipped", "needs the Prefect API")


def _name(check: Check) -> str:
    return getattr(check, "__name__", "check").replace("_", " ")


def _place(store_address: str | None) -> tuple[Place, Finding]:
    """What is to be examined, and whether the Prefect API answers."""
    home = prefect_home()
    url, source = _api_url(home)
    if url is None:
        remedy = "Start `phusa up`, or name the server: export PREFECT_API_URL=http://HOST:4200/api"
        seen = "no PREFECT_API_URL in the environment or the profile, and no phusa up running"
        return Place(store_address, home), error("Prefect API", seen, "a server", remedy)
    try:
        ask(f"{url}/health", _CONNECT_S)
    except (OSError, ValueError) as problem:
        why = problem.reason if isinstance(problem, urllib.error.URLError) else problem
        remedy = "Start `phusa up` (or prefect server start), or set PREFECT_API_URL to where it is"
        seen = f"no answer from {url} ({source}): {why}"
        return Place(store_address, home), error("Prefect API", seen, "a healthy server", remedy)
    return Place(store_address, home, url, _client(url)), ok("Prefect API", f"{url} ({source})")


def _api_url(home: Path) -> tuple[str | None, str]:
    from prefect.settings import get_current_settings

    configured = get_current_settings().api.url
    if configured:
        return str(configured), "PREFECT_API_URL"
    instance = running_instance(home)
    return (None, "") if instance is None else (instance.api_url, "the phusa up that runs here")


def _client(url: str) -> SyncPrefectClient:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.settings import get_current_settings

    api = get_current_settings().api
    auth = api.auth_string.get_secret_value() if api.auth_string else None
    key = api.key.get_secret_value() if api.key else None
    return SyncPrefectClient(
        url, auth_string=auth, api_key=key, httpx_settings={"timeout": _CONNECT_S}
    )


def run_checks(
    checks: Sequence[Check], place: Place, limit_s: float = _CHECK_S
) -> list[list[Finding]]:
    """What each check finds. They run in threads that die with the process: a mount that hangs
    would hold any other way of waiting."""
    found: list[list[Finding] | None] = [None] * len(checks)

    def work(index: int, check: Check) -> None:
        found[index] = _examined(check, place)

    threads = [
        threading.Thread(target=work, args=pair, daemon=True, name=f"phusa-doctor-{pair[0]}")
        for pair in enumerate(checks)
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + limit_s
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [
        findings if findings is not None else [_hung(check, limit_s)]
        for check, findings in zip(checks, found, strict=True)
    ]


def _examined(check: Callable[[Place], list[Finding]], place: Place) -> list[Finding]:
    try:
        return check(place)
    except Exception as problem:  # a check that fails must not take the others with it
        text = f"{type(problem).__name__}: {' '.join(str(problem).split())}"
        remedy = "The check itself failed: what it looks at is broken in a way it does not know."
        return [error(_name(check), text, "a check that ends", remedy)]


def _hung(check: Check, limit_s: float) -> Finding:
    remedy = "Something it asks does not answer: a network file system, a driver, a server."
    return error(_name(check), f"no result after {limit_s:.0f} s", "a result", remedy)
