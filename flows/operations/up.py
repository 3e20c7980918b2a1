"""`phusa up`: Prefect's server, pools, deployments and workers on one machine, and their end.

What is started is watched: what dies is started again a few times, then everything ends with the
tail of its log. docs/operations.md describes what a user sees; `flow_runs.py` why the order of
stopping is runs, workers, server.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

import yaml
from rich.console import Console
from rich.markup import escape

from flows.operations import flow_runs, processes, server
from flows.operations.processes import Service, UpNote
from flows.operations.server import POOLS, PROJECT, ZOMBIE_AFTER_S, UpOptions, connect
from flows.stopping import StopRequest, heard
from storage.errors import Fault, RequestError, RunError
from tasks.children import own_first

_SERVER_S = 120.0  # to become healthy: 4 s warm, 13 s cold, more where a database is migrated
_DEPLOY_S = 300.0
_WORKERS_S = 60.0
_END_S = 10.0
_EVERY_S = 0.3
_RESTARTS, _RESTARTS_WITHIN_S = 3, 600.0


def run_up(console: Console, options: UpOptions) -> None:
    """Bring everything up, keep it up until someone asks to stop, then stop it.

    Raises RequestError for what cannot be started, RunError if something will not stay up.
    """
    declared = PROJECT / "prefect.yaml"
    if not declared.exists():
        remedy = "Install phusa from a checkout of its repository: pip install --editable ."
        raise RequestError(Fault(str(declared), "no such file", "the deployments", remedy))
    home = server.prefect_home()
    with processes.only_one(home):
        server.check_port(options.host, options.port)
        up = _Up(console, options, home)
        with heard(up.hear, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            try:
                with suppress(_Stopped):
                    up.bring_up()
                    up.watch()
            finally:
                up.end()


class _Stopped(Exception):
    """Someone asked to stop."""


class _Up:
    """One life of `phusa up`: its server, its workers and `prefect deploy`."""

    def __init__(self, console: Console, options: UpOptions, home: Path) -> None:
        self._console, self._options, self._home = console, options, home
        self._stop, self._signal = StopRequest(), ""
        self._env = server.service_environment(own_first(), options)
        self._api = self._env["PREFECT_API_URL"]
        self._url = self._api.removesuffix("/api")
        self._logs = processes.up_folder(home)
        host = socket.gethostname()
        self._names = {
            pool: f"phusa-up-{pool}-{host}" for pool in POOLS if options.gpu or pool != "gpu"
        }
        listening = ("--host", options.host, "--port", str(options.port))
        self._server = self._service("server", "server", "start", *listening)
        self._deploying = self._service("deploy", "--no-prompt", "deploy", "--all")
        self._workers = {
            pool: self._service(
                f"worker-{pool}", "worker", "start", "--pool", pool, "--name", name, "--type",
                "process",
            )
            for pool, name in self._names.items()
        }  # fmt: skip

    def _service(self, name: str, *words: str) -> Service:
        command = [sys.executable, "-m", "prefect", *words]
        return Service(name, command, self._env, self._logs / f"{name}.log", PROJECT)

    # --- coming up ----------------------------------------------------------------------------

    def bring_up(self) -> None:
        """Start everything in order, saying each step as it is done."""
        self._start_server()
        self._prepare()
        for worker in self._workers.values():  # they start up while `prefect deploy` works
            self._start(worker)
        self._deploy()
        self._wait_for_workers()
        self._say_ready()

    def _start(self, service: Service) -> None:
        """Start one of them, and note all that run, so that the next `phusa up` can find them."""
        service.start()
        services = (self._server, self._deploying, *self._workers.values())
        known = {one.name: processes.started_at(one.pid) for one in services if one.pid is not None}
        processes.write_note(self._home, UpNote(os.getpid(), self._url, known))

    def _start_server(self) -> None:
        began = time.monotonic()
        self._start(self._server)
        self._wait_for_server()
        from prefect import __version__  # 1.25 s

        url = self._env.get("PREFECT_SERVER_DATABASE_CONNECTION_URL", "")
        kind = "PostgreSQL" if url.startswith("postgresql") else "SQLite"
        took = time.monotonic() - began
        self._done("server", f"Prefect {__version__} on {kind}, up in {took:.1f} s")

    def _wait_for_server(self) -> None:
        self._await("the server", self._server, lambda: server.is_healthy(self._api), _SERVER_S)

    def _prepare(self) -> None:
        with connect(self._api, self._env) as client:
            pools = [server.ensure_pool(client, name) for name in POOLS]
            server.ensure_zombie_automation(client)
        self._done("work pools", ", ".join(pools))
        self._done("automation", f"a run without a heartbeat for {ZOMBIE_AFTER_S} s is Crashed")
        self._end_runs(self._names.values(), "the phusa up before was killed")

    def _deploy(self) -> None:
        deploying = self._deploying
        self._start(deploying)
        self._await("the deployments", deploying, lambda: deploying.exit_code == 0, _DEPLOY_S)
        declared = yaml.safe_load((PROJECT / "prefect.yaml").read_text())["deployments"]
        self._done("deployments", f"{len(declared)}, with the knobs of {self._options.recipe}")

    def _wait_for_workers(self) -> None:
        with connect(self._api, self._env) as client:
            for pool, worker in self._workers.items():

                def is_online(pool: str = pool) -> bool:
                    return self._names[pool] in server.online_workers(client, pool)

                self._await(f"the worker of {pool}", worker, is_online, _WORKERS_S)
        idle = "" if self._options.gpu else "; training waits for a worker of gpu elsewhere"
        self._done("workers", f"{' and '.join(self._workers)} online{idle}")

    def _await(self, what: str, service: Service, done: Callable[[], bool], limit_s: float) -> None:
        """Wait for `done`. Raises RunError if its process ends before, or it takes too long."""
        deadline = time.monotonic() + limit_s
        with self._console.status(f"starting {what} …"):
            while not done():
                if self._stop.wait(_EVERY_S):
                    raise _Stopped
                if not service.is_running and not done():
                    raise _failed(service, f"ended with exit code {service.exit_code}")
                if time.monotonic() > deadline:
                    raise _failed(service, f"is not ready after {limit_s:.0f} s")

    def _say_ready(self) -> None:
        self._done("store", self._options.store)
        self._done("logs", str(self._logs))
        host = self._options.host
        if not server.is_loopback(host) and "PREFECT_SERVER_API_AUTH_STRING" not in self._env:
            self._note(
                f"the server listens on {host} and asks nobody for a password: whoever "
                "reaches the port can start runs; PREFECT_SERVER_API_AUTH_STRING sets one"
            )
        self._console.print(
            f"\n[bold]UI[/]  {self._url}\n\nIn another terminal:\n"
            f"  export PREFECT_API_URL={self._api}\n"
            "  prefect deployment run pipeline/manual\n  phusa doctor\n\nCtrl-C stops everything.",
            highlight=False,
            soft_wrap=True,
        )

    # --- staying up ---------------------------------------------------------------------------

    def watch(self) -> None:
        """Until someone asks to stop. Raises RunError if something dies again and again."""
        while not self._stop.wait(_EVERY_S):
            if not self._server.is_running:
                self._note_death(self._server)
                self._start(self._server)
                self._wait_for_server()
            for pool, worker in self._workers.items():
                if not worker.is_running:
                    self._note_death(worker)
                    # Without their worker its runs cannot be cancelled: they end, to be retried.
                    self._end_runs([self._names[pool]], f"the worker of {pool} died")
                    self._start(worker)

    def _note_death(self, service: Service) -> None:
        recent = sum(t > time.monotonic() - _RESTARTS_WITHIN_S for t in service.started)
        died = f"ended with exit code {service.exit_code}"
        if recent > _RESTARTS:
            raise _failed(service, f"{died} again, {recent} times now")
        self._note(f"{service.name} {died}; starting it again ({recent} of {_RESTARTS})")

    # --- ending -------------------------------------------------------------------------------

    def hear(self, number: int, frame: object) -> None:
        """The first signal asks for an orderly stop; the second kills everything, and us."""
        if self._stop.is_asked:
            for left in flow_runs.run_processes(self._api, self._names.values()).values():
                processes.kill_all(left)
            for service in (*self._workers.values(), self._deploying, self._server):
                service.kill()
            self._console.print("killed; the next phusa up settles what was running")
            os._exit(RunError.exit_code)
        self._signal = signal.Signals(number).name
        self._stop.ask()

    def end(self) -> None:
        """Runs first, while the workers are frozen, then workers, then the server."""
        if self._stop.is_asked:
            self._console.print(f"\n{self._signal}: stopping; once more ends it at once …")
        self._deploying.end(_END_S)
        for worker in self._workers.values():
            worker.send(signal.SIGSTOP)
        self._end_run_processes(self._names.values())
        for worker in self._workers.values():
            self._end(worker)
        if self._server.is_running:
            self._settle(self._names.values(), "phusa up was stopped")
            with suppress(Exception), connect(self._api, self._env, timeout_s=5.0) as client:
                server.forget_workers(client, self._names.items())
        self._end(self._server)
        if self._stop.is_asked:
            self._console.print("stopped; phusa up starts it again as it was")

    def _end(self, service: Service) -> None:
        if not service.end(_END_S):
            self._note(f"{service.name} did not end in time and was killed")

    def _end_runs(self, workers: Collection[str], why: str) -> None:
        """End the runs of these workers here, and settle the states of what they leave."""
        self._end_run_processes(workers)
        self._settle(workers, why)

    def _end_run_processes(self, workers: Collection[str]) -> None:
        runs = flow_runs.run_processes(self._api, workers)
        if runs:
            self._note(f"ending {len(runs)} flow run(s); training saves its checkpoint …")
        killed = flow_runs.end_processes(runs)
        if killed:
            self._note(f"{len(killed)} flow run(s) did not end in time and were killed")

    def _settle(self, workers: Collection[str], why: str) -> None:
        try:
            with connect(self._api, self._env, timeout_s=5.0) as client:
                settled = flow_runs.settle(client, self._api, workers, why)
        except Exception as error:  # whatever Prefect's client raises; the next start settles them
            self._note(f"states of runs could not be set ({type(error).__name__}: {error})")
            return
        for run in settled:
            self._note(f"run {run.name} was {run.state_name}: {why}")

    # --- saying -------------------------------------------------------------------------------

    def _done(self, what: str, text: str) -> None:
        self._say(f"[green]✓[/] [bold]{what:<11}[/]", text)

    def _note(self, text: str) -> None:
        self._say(f"[yellow]![/] {time.strftime('%H:%M:%S')}   ", text)

    def _say(self, mark: str, text: str) -> None:
        self._console.print(f"  {mark} {escape(text)}", highlight=False, soft_wrap=True)


def _failed(service: Service, what: str) -> RunError:
    lines = "\n".join(f"    {line}" for line in service.tail())
    return RunError(
        f"{service.name} {what}; expected it to stay up. The end of its log, {service.log}:\n"
        f"{lines}\nMend what it says, then start phusa up again; everything else was stopped."
    )
