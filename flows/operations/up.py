"""`phusa up`: Prefect's server, pools, deployments and workers on one machine, and their end.

What is started is watched: what dies is started again a few times, then everything ends with the
tail of its log. docs/operations.md describes what a user sees; `flow_runs.py` why the order of
stopping is runs, workers, server.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import yaml
from rich.console import Console
from rich.markup import escape

from flows.operations.fleet import Fleet
from flows.operations.instance import only_one
from flows.operations.processes import Service
from flows.operations.server import (
    Pool,
    check_port,
    connect,
    ensure_pool,
    ensure_zombie_automation,
    is_healthy,
    workers_online,
)
from flows.operations.settings import (
    POOLS,
    PROJECT,
    ZOMBIE_AFTER_S,
    Wanted,
    is_loopback,
    prefect_home,
)
from flows.operations.stopping import StopRequest
from storage.errors import Fault, RequestError, RunError

_SERVER_S = 120.0  # to become healthy: 4 s warm, 13 s cold, more where a database is migrated
_DEPLOY_S = 300.0
_WORKERS_S = 60.0
_EVERY_S = 0.3
_RESTARTS, _RESTARTS_WITHIN_S = 3, 600.0


def run_up(console: Console, wanted: Wanted) -> None:
    """Bring everything up, keep it up until someone asks to stop, then stop it.

    Raises RequestError for what cannot be started, RunError if something will not stay up.
    """
    _check_checkout()
    home = prefect_home()
    with only_one(home):
        check_port(wanted.host, wanted.port)
        up = _Up(console, wanted, home)
        with up.stop.heard(up.end_at_once):
            try:
                with contextlib.suppress(_Stopped):
                    up.bring_up()
                    up.watch()
            finally:
                up.end()


def _check_checkout() -> None:
    declared = PROJECT / "prefect.yaml"
    if not declared.exists():
        remedy = "Install phusa from a checkout of its repository: pip install --editable ."
        raise RequestError(Fault(str(declared), "no such file", "the deployments", remedy))


class _Stopped(Exception):
    """Someone asked to stop."""


class _Up:
    """One life of `phusa up`."""

    def __init__(self, console: Console, wanted: Wanted, home: Path) -> None:
        self.stop = StopRequest()
        self._console, self._wanted = console, wanted
        self._fleet = Fleet(wanted, home, self._note)

    # --- coming up ----------------------------------------------------------------------------

    def bring_up(self) -> None:
        """Start everything in order, saying each step as it is done."""
        self._start_server()
        self._prepare()
        for worker in self._fleet.workers.values():  # they start up while `prefect deploy` works
            self._fleet.start(worker)
        self._deploy()
        self._wait_for_workers()
        self._say_ready()

    def _start_server(self) -> None:
        began = time.monotonic()
        self._fleet.start(self._fleet.server)
        self._wait_for_server()
        from prefect import __version__  # 1.25 s

        kind = "PostgreSQL" if self._on_postgres() else "SQLite"
        took = time.monotonic() - began
        self._done("server", f"Prefect {__version__} on {kind}, up in {took:.1f} s")

    def _wait_for_server(self) -> None:
        fleet = self._fleet
        self._await("the server", fleet.server, lambda: is_healthy(fleet.api), _SERVER_S)

    def _on_postgres(self) -> bool:
        url = self._fleet.env.get("PREFECT_SERVER_DATABASE_CONNECTION_URL", "")
        return url.startswith("postgresql")

    def _prepare(self) -> None:
        with connect(self._fleet.api, self._fleet.env) as client:
            pools = [ensure_pool(client, name) for name in POOLS]
            ensure_zombie_automation(client)
        self._done("work pools", ", ".join(_described(pool) for pool in pools))
        self._done("automation", f"a run without a heartbeat for {ZOMBIE_AFTER_S} s is Crashed")
        self._fleet.end_runs(list(self._fleet.workers), "the phusa up before was killed")

    def _deploy(self) -> None:
        deploying = self._fleet.deploying
        self._fleet.start(deploying)
        self._await("the deployments", deploying, lambda: deploying.exit_code == 0, _DEPLOY_S)
        declared = yaml.safe_load((PROJECT / "prefect.yaml").read_text())["deployments"]
        self._done("deployments", f"{len(declared)}, with the knobs of {self._wanted.recipe}")

    def _wait_for_workers(self) -> None:
        fleet = self._fleet
        with connect(fleet.api, fleet.env) as client:
            for pool, worker in fleet.workers.items():

                def is_online(pool: str = pool) -> bool:
                    return bool(workers_online(client, {pool: fleet.names[pool]}))

                self._await(f"the worker of {pool}", worker, is_online, _WORKERS_S)
        idle = "" if self._wanted.gpu else "; training waits for a worker of gpu elsewhere"
        self._done("workers", f"{' and '.join(fleet.workers)} online{idle}")

    def _await(self, what: str, service: Service, done: Callable[[], bool], limit_s: float) -> None:
        """Wait for `done`. Raises RunError if its process ends before, or it takes too long."""
        deadline = time.monotonic() + limit_s
        with self._console.status(f"starting {what} …"):
            while not done():
                if self.stop.wait(_EVERY_S):
                    raise _Stopped
                if not service.is_running and not done():
                    raise _failed(service, f"ended with exit code {service.exit_code}")
                if time.monotonic() > deadline:
                    raise _failed(service, f"is not ready after {limit_s:.0f} s")

    def _say_ready(self) -> None:
        wanted, fleet = self._wanted, self._fleet
        self._done("store", wanted.store)
        self._done("logs", str(fleet.logs))
        if not is_loopback(wanted.host) and "PREFECT_SERVER_API_AUTH_STRING" not in fleet.env:
            self._note(
                f"the server listens on {wanted.host} and asks nobody for a password: whoever "
                "reaches the port can start runs; PREFECT_SERVER_API_AUTH_STRING sets one"
            )
        self._console.print(
            f"\n[bold]UI[/]  {fleet.url}\n\nIn another terminal:\n"
            f"  export PREFECT_API_URL={fleet.api}\n"
            "  prefect deployment run pipeline/manual\n  phusa doctor\n\nCtrl-C stops everything.",
            highlight=False,
            soft_wrap=True,
        )

    # --- staying up ---------------------------------------------------------------------------

    def watch(self) -> None:
        """Until someone asks to stop. Raises RunError if something dies again and again."""
        while not self.stop.wait(_EVERY_S):
            if not self._fleet.server.is_running:
                self._start_again(self._fleet.server)
                self._wait_for_server()
            for pool, worker in self._fleet.workers.items():
                if not worker.is_running:
                    # Without their worker its runs cannot be cancelled: they end, to be retried.
                    self._start_again(worker, partial(self._end_orphans, pool))

    def _end_orphans(self, pool: str) -> None:
        self._fleet.end_runs([pool], f"the worker of {pool} died")

    def _start_again(self, service: Service, before: Callable[[], None] = lambda: None) -> None:
        recent = sum(t > time.monotonic() - _RESTARTS_WITHIN_S for t in service.started)
        died = f"ended with exit code {service.exit_code}"
        if recent > _RESTARTS:
            raise _failed(service, f"{died} again, {recent} times now")
        self._note(f"{service.name} {died}; starting it again ({recent} of {_RESTARTS})")
        before()
        self._fleet.start(service)

    # --- ending -------------------------------------------------------------------------------

    def end(self) -> None:
        """Stop all of it in order."""
        if self.stop.is_asked:
            self._console.print(f"\n{self.stop.name}: stopping; once more ends it at once …")
        self._fleet.end()
        if self.stop.is_asked:
            self._console.print("stopped; phusa up starts it again as it was")

    def end_at_once(self) -> None:
        """Kill everything; does not come back."""
        self._fleet.end_at_once()
        self._console.print("killed; the next phusa up settles what was running")
        os._exit(RunError.exit_code)

    # --- saying -------------------------------------------------------------------------------

    def _done(self, what: str, text: str) -> None:
        line = f"  [green]✓[/] [bold]{what:<11}[/] {escape(text)}"
        self._console.print(line, highlight=False, soft_wrap=True)

    def _note(self, text: str) -> None:
        line = f"  [yellow]![/] {time.strftime('%H:%M:%S')}    {escape(text)}"
        self._console.print(line, highlight=False, soft_wrap=True)


def _described(pool: Pool) -> str:
    state = "new" if pool.is_new else "paused: nothing starts there" if pool.is_paused else ""
    return f"{pool.name} ({pool.limit} at once{', ' + state if state else ''})"


def _failed(service: Service, what: str) -> RunError:
    lines = "\n".join(f"    {line}" for line in service.tail().splitlines())
    return RunError(
        f"{service.name} {what}; expected it to stay up. The end of its log, {service.log}:\n"
        f"{lines}\nMend what it says, then start phusa up again; everything else was stopped."
    )
