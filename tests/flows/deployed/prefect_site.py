"""A Prefect server with workers, as docs/operations.md starts them by hand: real processes, each
stopped by its own process id."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import psutil

from flows.operations.server import RECORDING
from tests.conftest import ROOT
from tests.flows.servers import free_port

T = TypeVar("T")
PREFECT = [sys.executable, "-W", "ignore", "-m", "prefect"]


class PrefectSite:
    """Server, pools, deployments of one recipe, workers; use as a context manager."""

    def __init__(self, home: Path, recipe: Path, store: Path) -> None:
        self.home, self.store = home, store
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.env = {
            **os.environ,
            **RECORDING,
            "PREFECT_HOME": str(home),
            "PREFECT_API_URL": f"{self.url}/api",
            "PREFECT_SERVER_API_PORT": str(port),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED": "false",  # as `phusa up` sets it
            "DO_NOT_TRACK": "1",
            "PYTHONWARNINGS": "ignore",
            "PHUSA_RECIPE": str(recipe),
            "PHUSA_STORE": str(store),
        }
        self._port = port
        self._going: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> PrefectSite:
        self.server = self.start_server()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in reversed(self._going):
            end(process)

    # --- processes --------------------------------------------------------------------------------

    def start_server(self) -> subprocess.Popen[bytes]:
        server = self._start("server", "server", "start", "--port", str(self._port))
        wait_for(lambda: self.is_healthy(server), 120, "the server")
        return server

    def is_healthy(self, server: subprocess.Popen[bytes]) -> bool:
        assert server.poll() is None, (self.home / "server.log").read_text()
        try:
            return self.ask("/health") is True
        except (urllib.error.URLError, OSError):
            return False

    def start_worker(self, pool: str, name: str) -> subprocess.Popen[bytes]:
        return self._start(name, "worker", "start", "--pool", pool, "--name", name)

    def _start(self, log: str, *words: str) -> subprocess.Popen[bytes]:
        with (self.home / f"{log}.log").open("ab") as stream:
            process = subprocess.Popen(
                [*PREFECT, *words],
                cwd=ROOT,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._going.append(process)
        return process

    def prefect(self, *words: str) -> str:
        """One command of Prefect's own, to its end."""
        return self.run(*PREFECT, *words)

    def run(self, *words: str) -> str:
        """A command that talks to this server, to its end."""
        done = subprocess.run(
            words, cwd=ROOT, env=self.env, capture_output=True, text=True, timeout=180
        )
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}\n{self.logs()}"
        return done.stdout

    def logs(self) -> str:
        """The ends of all logs, for a test that failed."""
        ends = (f"--- {p.name}\n{p.read_text()[-4000:]}" for p in sorted(self.home.glob("*.log")))
        return "\n".join(ends)

    # --- what the server knows --------------------------------------------------------------------

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """The API's answer: a POST if there is a body."""
        data = None if body is None else json.dumps(body).encode()
        url = f"{self.url}/api{path}"
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
        for _ in range(20):
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return json.loads(answer.read() or b"null")
            except urllib.error.HTTPError as error:
                if error.code != 503:  # SQLite is busy: Prefect's own client tries again, too
                    raise
            except TimeoutError:
                pass
            time.sleep(0.5)
        raise AssertionError(f"{path} is not answered")

    def deployments(self) -> dict[str, dict[str, Any]]:
        return {d["name"]: d for d in self.ask("/deployments/filter", {})}

    def order(self, name: str, **parameters: Any) -> str:
        """Start a run of a deployment; returns its id."""
        deployment = self.deployments()[name]["id"]
        body = {"parameters": parameters}
        run: str = self.ask(f"/deployments/{deployment}/create_flow_run", body)["id"]
        return run

    def state(self, run: str) -> dict[str, Any]:
        state: dict[str, Any] = self.ask(f"/flow_runs/{run}")["state"]
        return state

    def cancel(self, run: str) -> None:
        state = {"type": "CANCELLING", "name": "Cancelling"}
        self.ask(f"/flow_runs/{run}/set_state", {"state": state, "force": False})

    def wait_until(self, run: str, *states: str, seconds: float = 300) -> dict[str, Any]:
        """Wait until a run is in one of the states (`COMPLETED`, ...), and return that state."""
        ends = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}

        def arrived() -> dict[str, Any] | None:
            state = self.state(run)
            if state["type"] in states:
                return state
            assert state["type"] not in ends, f"{state}\n{self.logs()}"
            return None

        try:
            return wait_for(arrived, seconds, f"{run} to be {states}")
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.state(run)}\n{self.logs()}") from None

    def runs(self, **filters: Any) -> list[dict[str, Any]]:
        """Flow runs, the earliest first."""
        body = {"flow_runs": filters, "sort": "EXPECTED_START_TIME_ASC"}
        found: list[dict[str, Any]] = self.ask("/flow_runs/filter", body)
        return found

    def children(self, run: str) -> list[dict[str, Any]]:
        return self.runs(parent_flow_run_id={"any_": [run]})

    def said(self, run: str) -> str:
        """What a run wrote into its log."""
        body = {"logs": {"flow_run_id": {"any_": [run]}}, "limit": 200}
        return "\n".join(line["message"] for line in self.ask("/logs/filter", body))


def wait_for(found: Callable[[], T | None], seconds: float, what: str) -> T:
    """Ask until there is an answer."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = found()
        if answer:
            return answer
        time.sleep(0.25)
    raise AssertionError(f"waited {seconds} s for {what}")


def end(process: subprocess.Popen[bytes]) -> None:
    """Stop a process of ours with all that it started."""
    if process.poll() is None:
        family = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        kill(family)


def kill(family: Iterable[psutil.Process]) -> None:
    for member in family:
        if member.is_running():
            member.send_signal(signal.SIGKILL)


def kill_with_children(process: subprocess.Popen[bytes]) -> None:
    """Kill -9, as a machine that loses its power."""
    family = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    kill(family)
