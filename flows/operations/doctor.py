"""`phusa doctor`: every check, in one list, and the report; a new check is one line here."""

from __future__ import annotations

import threading
import time
import urllib.error
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

import psutil
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from flows.operations import checks, server_checks
from flows.operations.checks import Check, Finding, Place, error, ok
from flows.operations.processes import read_note
from flows.operations.server import prefect_home, read_json

HERE: tuple[Check, ...] = (checks.python, checks.packages)
ON_SERVER: tuple[Check, ...] = (
    server_checks.versions,
    server_checks.database,
    server_checks.pools,
    server_checks.deployments,
    server_checks.schedules,
    server_checks.stuck_runs,
    server_checks.held_slots,
    server_checks.automation,
    server_checks.limits_survive,
)
AROUND: tuple[Check, ...] = (checks.store, checks.disk, checks.leftovers, checks.gpu)

_HUNG = "Something it asks does not answer: a network file system, a driver, a server."
_BROKEN = "The check itself failed: what it looks at is broken in a way it does not know."
_CONNECT_S = 3.0
_CHECK_S = 30.0  # torch may take that to import on a busy machine; hosts get 3 to 5 s


def examine(store_address: str | None) -> list[Finding]:
    """Run every check, all at once; one that raises or does not end is a finding itself."""
    place, reached = _place(store_address)
    on_server = ON_SERVER if place.client is not None else ()
    with checks.asking_once():
        found = run_checks((*HERE, *on_server, *AROUND), place)
    skipped = [
        Finding(_name(check), "skipped", "needs the Prefect API")
        for check in ON_SERVER
        if place.client is None
    ]
    return [*chain(*found[: len(HERE)]), reached, *skipped, *chain(*found[len(HERE) :])]


def _name(check: Check) -> str:
    return getattr(check, "__name__", "check").replace("_", " ")


def _place(store_address: str | None) -> tuple[Place, Finding]:
    """What is to be examined, and whether the Prefect API answers."""
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    place = Place(store_address, prefect_home())
    url, source = _api_url(place)
    if url is None:
        remedy = "Start `phusa up`, or name the server: export PREFECT_API_URL=http://HOST:4200/api"
        seen = "no PREFECT_API_URL in the environment or the profile, and no phusa up running"
        return place, error("Prefect API", seen, "a server", remedy)
    try:
        read_json(f"{url}/health", _CONNECT_S)
    except (OSError, ValueError) as problem:
        why = problem.reason if isinstance(problem, urllib.error.URLError) else problem
        remedy = "Start `phusa up` (or prefect server start), or set PREFECT_API_URL to where it is"
        seen = f"no answer from {url} ({source}): {why}"
        return place, error("Prefect API", seen, "a healthy server", remedy)
    with temporary_settings({PREFECT_API_URL: url}):  # with the password and key of the profile
        client = get_client(sync_client=True, httpx_settings={"timeout": _CONNECT_S})
    return replace(place, api_url=url, client=client), ok("Prefect API", f"{url} ({source})")


def _api_url(place: Place) -> tuple[str | None, str]:
    from prefect.settings import PREFECT_API_URL

    configured = PREFECT_API_URL.value()
    if configured:
        return str(configured), "PREFECT_API_URL"
    note = read_note(place.home)
    if note is None or not psutil.pid_exists(note.pid):
        return None, ""
    return f"{note.url}/api", "the phusa up that runs here"


def run_checks(
    checks: Sequence[Check], place: Place, limit_s: float = _CHECK_S
) -> list[list[Finding]]:
    """What each check finds. They run in threads that die with the process: a mount that hangs
    would hold any other way of waiting."""
    seen = f"no result after {limit_s:.0f} s"
    found = [[error(_name(check), seen, "a result", _HUNG)] for check in checks]

    def work(index: int, check: Check) -> None:
        try:
            found[index] = check(place)
        except Exception as problem:  # a check that fails must not take the others with it
            text = f"{type(problem).__name__}: {' '.join(str(problem).split())}"
            found[index] = [error(_name(check), text, "a check that ends", _BROKEN)]

    threads = [
        threading.Thread(target=work, args=pair, daemon=True, name=f"phusa-doctor-{pair[0]}")
        for pair in enumerate(checks)
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + limit_s
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return list(found)


# --- the report for people ------------------------------------------------------------------------

_MARKS = {
    "ok": "[green]✓[/]",
    "warning": "[yellow]![/]",
    "error": "[bold red]✗[/]",
    "skipped": "[dim]·[/]",
}


def print_findings(console: Console, findings: Sequence[Finding]) -> None:
    """One line for each check; under what is wrong, what was expected and how to mend it."""
    table = Table(Column("", no_wrap=True), Column("", no_wrap=True), "", box=None)
    table.show_header = False
    for one in findings:
        style = "dim" if one.status == "skipped" else ""
        table.add_row(_MARKS[one.status], escape(one.check), escape(one.found), style=style)
        if one.expected:
            table.add_row("", "", f"[dim]expected:[/] {escape(one.expected)}")
        if one.remedy:
            table.add_row("", "", f"[dim]remedy:[/]   {escape(one.remedy)}")
    console.print(table, highlight=False)
    console.print(f"\n{_summary(findings)}", highlight=False)


def _summary(findings: Sequence[Finding]) -> str:
    num = Counter(one.status for one in findings)
    tail = f", {num['skipped']} not checked" if num["skipped"] else ""
    if num["error"]:
        return f"[bold red]{num['error']} wrong[/], {num['warning']} to look at{tail}"
    if num["warning"]:
        return f"[yellow]{num['warning']} to look at[/], nothing wrong{tail}"
    return f"[green]all well[/]{tail}"
