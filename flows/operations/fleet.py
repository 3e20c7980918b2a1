"""The processes of `phusa up`: server, workers and `prefect deploy`; how they start and end."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from flows.operations.flow_runs import end_processes, run_processes, settle
from flows.operations.instance import Instance, folder_of, started_at, write_instance
from flows.operations.processes import Service, kill_all
from flows.operations.server import connect, forget_workers
from flows.operations.settings import (
    POOLS,
    PROJECT,
    Wanted,
    reachable,
    service_environment,
    worker_name,
)

_END_S = 10.0


class Fleet:
    """All processes of one `phusa up`. `say` takes what a person should know, line by line."""

    def __init__(self, wanted: Wanted, home: Path, say: Callable[[str], None]) -> None:
        self.url = f"http://{reachable(wanted.host)}:{wanted.port}"
        self.api = f"{self.url}/api"
        self.logs = folder_of(home)
        self.env = service_environment(os.environ, wanted)
        self._wanted, self._home, self._say = wanted, home, say
        pools = POOLS if wanted.gpu else POOLS[:1]
        self.names = {pool: worker_name(pool, socket.gethostname()) for pool in pools}
        listening = ("--host", wanted.host, "--port", str(wanted.port))
        self.server = self._service("server", "server", "start", *listening)
        self.deploying = self._service("deploy", "--no-prompt", "deploy", "--all")
        self.workers = {
            pool: self._service(
                f"worker-{pool}", "worker", "start", "--pool", pool, "--name", name, "--type",
                "process",
            )
            for pool, name in self.names.items()
        }  # fmt: skip

    def _service(self, name: str, *words: str) -> Service:
        command = [sys.executable, "-m", "prefect", *words]
        return Service(name, command, self.env, self.logs / f"{name}.log", PROJECT)

    def start(self, service: Service) -> None:
        """Start one of them, and note all that run, so that the next `phusa up` can find them."""
        service.start()
        services = (self.server, self.deploying, *self.workers.values())
        known = {s.name: started_at(s.pid) for s in services if s.pid is not None}
        wanted = self._wanted
        note = Instance(os.getpid(), self.url, str(wanted.recipe), wanted.store, known)
        write_instance(self._home, note)

    def end_runs(self, pools: Sequence[str], why: str) -> None:
        """End the runs of these pools' workers here, and settle the states of what they leave."""
        self._end_run_processes(pools)
        self._settle(pools, why)

    def _end_run_processes(self, pools: Sequence[str]) -> None:
        runs = run_processes(self.api, [self.names[pool] for pool in pools])
        if runs:
            self._say(f"ending {len(runs)} flow run(s); training saves its checkpoint …")
        killed = end_processes(runs)
        if killed:
            self._say(f"{len(killed)} flow run(s) did not end in time and were killed")

    def _settle(self, pools: Sequence[str], why: str) -> None:
        names = [self.names[pool] for pool in pools]
        try:
            with connect(self.api, self.env, timeout_s=5.0) as client:
                settled = settle(client, self.api, names, why)
        except Exception as error:  # whatever Prefect's client raises; the next start settles them
            self._say(f"states of runs could not be set ({type(error).__name__}: {error})")
            return
        for run in settled:
            self._say(f"run {run.name} was {run.state_name}: {why}")

    def end(self) -> None:
        """Runs first, while the workers are frozen, then workers, then the server."""
        self.deploying.end(_END_S)
        for worker in self.workers.values():
            worker.send(signal.SIGSTOP)
        self._end_run_processes(list(self.workers))
        for worker in self.workers.values():
            self._end(worker)
        if self.server.is_running:
            self._settle(list(self.workers), "phusa up was stopped")
            with contextlib.suppress(Exception), connect(self.api, self.env, 5.0) as client:
                forget_workers(client, self.names)
        self._end(self.server)

    def _end(self, service: Service) -> None:
        if not service.end(_END_S):
            self._say(f"{service.name} did not end in time and was killed")

    def end_at_once(self) -> None:
        """SIGKILL to everything."""
        for processes in run_processes(self.api, list(self.names.values())).values():
            kill_all(processes)
        for service in (*self.workers.values(), self.deploying, self.server):
            service.kill()
