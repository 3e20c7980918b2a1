"""Real servers and clusters on loopback, each in processes of its own that end with the block."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
_START_S = 120.0
_BIN = Path(sys.executable).parent
POSTGRESQL = next(
    (folder for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)),
    Path(shutil.which("initdb") or "/nowhere/initdb").parent,
)
"""Where PostgreSQL's programs are; without `initdb` in it there are none."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def started(
    words: Sequence[object],
    log: Path,
    until: str | Callable[[], bool],
    env: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has written `until` to its log, or of which `until` is true.

    Nothing of its group is left after the block.
    """
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [str(word) for word in words],
            env={**os.environ, **(env or {}), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        ready = (
            (lambda: until in log.read_text(errors="replace")) if isinstance(until, str) else until
        )
        _wait(ready, process, log)
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the process to end, and end what is left of its group after that."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(30)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _wait(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while not ready():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


@contextmanager
def ray_cluster(folder: Path) -> Iterator[str]:
    """The address of a Ray cluster of two nodes with one CPU each."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    # Ray's sockets lie in it, and a socket's path has 107 characters at most.
    scratch = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    words = [_BIN / "ray", "start", "--block", "--num-cpus=1", "--disable-usage-stats"]
    words += ["--object-store-memory=80000000"]
    said = "Ray runtime started"
    ports = [f"--port={port}", f"--ray-client-server-port={free_port()}"]
    head = [*words, "--head", *ports, "--include-dashboard=false", f"--temp-dir={scratch}"]
    try:
        with (
            started(head, folder / "head.log", said) as first,
            started([*words, f"--address=127.0.0.1:{port}"], folder / "node.log", said) as second,
        ):
            yield f"127.0.0.1:{port}"
            for process in (first, second):  # each takes 5 s to end
                process.terminate()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def dask_cluster(folder: Path) -> Iterator[str]:
    """The address of a Dask scheduler with two workers."""
    folder.mkdir(parents=True, exist_ok=True)
    address = f"tcp://127.0.0.1:{free_port()}"
    words = [_BIN / "dask", "scheduler", "--host", address, "--no-dashboard"]
    with started(words, folder / "scheduler.log", "Scheduler at:"), ExitStack() as stack:
        for number in (1, 2):
            stack.enter_context(dask_worker(address, folder / f"worker-{number}", ROOT))
        yield address


@contextmanager
def dask_worker(address: str, folder: Path, tree: Path) -> Iterator[None]:
    """One more worker of a Dask cluster, with the packages of `tree`."""
    folder.mkdir(parents=True, exist_ok=True)
    words = [_BIN / "dask", "worker", address, "--nthreads", 1, "--no-nanny", "--no-dashboard"]
    words += ["--local-directory", folder]
    with started(words, folder / "log", "Registered to:", {"PYTHONPATH": str(tree)}):
        yield


@contextmanager
def prefect_server(folder: Path, **settings: str) -> Iterator[dict[str, str]]:
    """A Prefect server, and the environment of a process that talks to it."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    env = {
        **os.environ,
        "PREFECT_HOME": str(folder),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        **settings,
    }
    words = [sys.executable, "-m", "prefect", "server", "start", "--port", port]
    health = f"{env['PREFECT_API_URL']}/health"
    with started(words, folder / "server.log", lambda: _answers(health), env):
        yield env


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """The URL by which Prefect reaches a fresh database of a fresh PostgreSQL server.

    `folder` must be one that the user `postgres` can reach, if this is run as root: PostgreSQL
    refuses to run as root.
    """
    data, port = folder / "data", free_port()
    user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    folder.mkdir(parents=True, exist_ok=True)
    if user:
        shutil.chown(folder, "postgres")
    make = [*user, POSTGRESQL / "initdb", "-D", data, "-U", "prefect", "--auth=trust", "-N"]
    subprocess.run([*map(str, make)], check=True, stdout=subprocess.DEVNULL, cwd=folder)
    words = [POSTGRESQL / "postgres", "-D", data, "-p", port, "-k", folder, "-h", "127.0.0.1"]
    with started([*user, *words], folder / "log", "ready to accept connections"):
        address = ["-h", "127.0.0.1", "-p", str(port), "-U", "prefect"]
        create = [POSTGRESQL / "createdb", *address, "prefect"]
        subprocess.run([*map(str, create)], check=True)
        yield f"postgresql+asyncpg://prefect@127.0.0.1:{port}/prefect"


def ask(env: Mapping[str, str], path: str, body: Mapping[str, Any]) -> Any:
    """What the Prefect server of that environment answers."""
    request = urllib.request.Request(
        f"{env['PREFECT_API_URL']}/{path}",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def completed_tasks(env: Mapping[str, str], flow_run: str, at_least: int, within_s: float) -> int:
    """How many completed tasks a flow run has; events arrive late, so that many are waited for."""
    wanted = {
        "task_runs": {
            "flow_run_id": {"any_": [flow_run]},
            "state": {"type": {"any_": ["COMPLETED"]}},
        }
    }
    deadline, found = time.monotonic() + within_s, 0
    while found < at_least and time.monotonic() < deadline:
        time.sleep(0.2)
        with suppress(urllib.error.URLError, TimeoutError):  # a busy server
            found = ask(env, "task_runs/count", wanted)
    return found
