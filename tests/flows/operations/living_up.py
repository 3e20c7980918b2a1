"""A real `phusa up` in a process of its own, and what its Prefect server says."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun

from flows.operations.processes import UpNote, read_note
from tests.conftest import ROOT

READY = "Ctrl-C stops everything"

SLOW_FLOW = """
import os, pathlib, time
from prefect import flow

@flow(name="slow")
def slow(folder: str) -> None:
    training(folder)

@flow(name="training")
def training(folder: str) -> None:
    here = pathlib.Path(folder)
    (here / "began").write_text(str(os.getpid()))
    try:
        while True:
            time.sleep(0.1)
    finally:
        time.sleep(1)  # a checkpoint takes its time
        (here / "saved").write_text("")
"""


def wait_for(what: str, seen: Callable[[], Any], seconds: float = 60) -> Any:
    """What `seen` returns, once it is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = seen()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"not seen within {seconds} s: {what}")


class LivingUp:
    """Start it as often as wanted; always on the same PREFECT_HOME, store and port."""

    def __init__(self, folder: Path, recipe: Path, port: int) -> None:
        self.home, self.store, self.port = folder / "home", folder / "store", port
        self.api = f"http://127.0.0.1:{port}/api"
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("PREFECT", "PHUSA"))},
            "PREFECT_HOME": str(self.home),
            "PREFECT_API_URL": "http://127.0.0.1:9/api",  # elsewhere: it must not matter
            "COLUMNS": "200",
        }
        self._recipe, self._output = recipe, folder / "output"
        self.process: subprocess.Popen[bytes] | None = None
        self.children: list[psutil.Process] = []

    def start(self, until: str = READY) -> None:
        words = [str(self._recipe), "--port", str(self.port), "--store", str(self.store)]
        command = [sys.executable, "-W", "ignore", "-m", "flows.cli", "up", *words]
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        wait_for(f"{until!r} in {self.said()}", lambda: until in self.said() or self._ended(), 240)
        assert until in self.said(), self.said()
        self.children = psutil.Process(self.process.pid).children(recursive=True)

    def _ended(self) -> bool:
        assert self.process is not None
        return self.process.poll() is not None

    def said(self) -> str:
        return self._output.read_text(errors="replace")

    def signal(self, number: signal.Signals) -> int:
        """Send it and wait for the end; the exit code."""
        assert self.process is not None
        self.children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(number)
        return self.process.wait(90)

    def left_over(self) -> list[psutil.Process]:
        """Processes that it has started, or that its workers have, and that still run."""
        known = [p for p in self.children if p.is_running()]
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("PREFECT_API_URL") == self.api:
                    known.append(process)
        return [p for p in known if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]

    def note(self) -> UpNote:
        found = read_note(self.home)
        assert found is not None
        return found

    def close(self) -> None:
        """Leave nothing running, whatever the tests did."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        _kill(self.left_over())

    def client(self) -> SyncPrefectClient:
        return SyncPrefectClient(self.api, httpx_settings={"timeout": 20})

    def deploy_slow(self, folder: Path, pool: str = "cpu") -> UUID:
        """A deployment of a flow that runs until it is stopped, with a flow inside it."""
        (folder / "slow.py").write_text(SLOW_FLOW)
        step = {"prefect.deployments.steps.set_working_directory": {"directory": str(folder)}}
        with self.client() as client:
            return client.create_deployment(
                client.create_flow_from_name("slow"),
                "slow",
                work_pool_name=pool,
                entrypoint="slow.py:slow",
                pull_steps=[step],
                parameters={"folder": str(folder)},
            )

    def run_slow(self, deployment: UUID, folder: Path) -> FlowRun:
        """Start it and wait until it works."""
        for name in ("began", "saved"):
            (folder / name).unlink(missing_ok=True)
        with self.client() as client:
            run = client.create_flow_run_from_deployment(deployment)
        log = self.home / "phusa-up" / "worker-cpu.log"
        wait_for(f"work of a run on the worker of {log}", (folder / "began").exists, 120)
        return run

    def states(self, runs: Iterable[UUID]) -> list[str | None]:
        """The states of runs and of the flows inside them."""
        from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterParentFlowRunId

        wanted = list(runs)
        inner = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=wanted))
        with self.client() as client:
            found = [client.read_flow_run(run) for run in wanted]
            found += client.read_flow_runs(flow_run_filter=inner)
        return [run.state_name for run in found]


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(processes, 10)
