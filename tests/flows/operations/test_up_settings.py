"""What `phusa up` hands to Prefect, and when it refuses to begin."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from flows.operations import instance
from flows.operations.instance import Instance, only_one, started_at, write_instance
from flows.operations.processes import Service
from flows.operations.server import check_port
from flows.operations.settings import Wanted, service_environment
from storage.errors import RequestError

PYTHON = sys.executable


def wanted(**changes: object) -> Wanted:
    return Wanted(Path("/recipe.yaml"), "/store", **changes)  # type: ignore[arg-type]


def test_another_servers_address_and_key_do_not_get_through() -> None:
    elsewhere = {
        "PREFECT_API_URL": "https://cloud/api",
        "PREFECT_API_KEY": "secret",
        "PATH": "/bin",
    }
    env = service_environment(elsewhere, wanted(port=4300))
    assert env["PREFECT_API_URL"] == "http://127.0.0.1:4300/api"
    assert "PREFECT_API_KEY" not in env
    assert (env["PATH"], env["PHUSA_RECIPE"], env["PHUSA_STORE"]) == (
        "/bin",
        "/recipe.yaml",
        "/store",
    )
    assert env["PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE"].endswith(".filesystem")
    assert env["DO_NOT_TRACK"] == "1"


def test_what_a_user_has_set_stays() -> None:
    mine = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "60", "PREFECT_SERVER_API_AUTH_STRING": "a:b"}
    env = service_environment(mine, wanted())
    assert env["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "60"
    assert env["PREFECT_API_AUTH_STRING"] == "a:b"


@pytest.mark.parametrize(
    ("host", "url"), [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("10.0.0.7", "10.0.0.7")]
)
def test_workers_here_reach_a_server_that_listens_elsewhere(host: str, url: str) -> None:
    env = service_environment({}, wanted(host=host))
    assert env["PREFECT_API_URL"] == f"http://{url}:4200/api"
    assert "127.0.0.1" not in env["PREFECT_SERVER_UI_API_URL"]


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
def test_postgresql_by_any_name(scheme: str) -> None:
    env = service_environment({}, wanted(database=f"{scheme}://u:p@db/prefect"))
    url = env["PREFECT_SERVER_DATABASE_CONNECTION_URL"]
    assert url == "postgresql+asyncpg://u:p@db/prefect"


def test_a_port_that_another_program_has() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(RequestError, match=f"{port}.*another program.*--port {port + 1}"):
            check_port("127.0.0.1", port)
    check_port("127.0.0.1", port)


def test_a_host_that_there_is_not() -> None:
    with pytest.raises(RequestError, match="--host"):
        check_port("no.such.host.invalid", 4200)


def test_children_of_a_killed_one_are_ended_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = subprocess.Popen([PYTHON, "-c", "import signal; signal.pause()"])
    (tmp_path / "phusa-up").mkdir()
    services = {"server": started_at(child.pid), "worker": (os.getpid(), 0.0)}
    write_instance(tmp_path, Instance(2**22, "http://127.0.0.1:1", "r", "s", services))
    monkeypatch.setattr(instance, "_DYING_S", 0.1)
    try:
        with only_one(tmp_path):
            assert child.wait(10) == -signal.SIGKILL
    finally:
        child.kill()
    assert psutil.pid_exists(os.getpid())  # a pid alone says nothing: the times differ


def test_a_service_obeys_although_its_parent_ignores_the_signals(tmp_path: Path) -> None:
    """As after `nohup`, and in a script's background: Python then installs no handler of SIGINT."""
    code = "import signal; print(signal.getsignal(signal.SIGINT).__name__, flush=True)"
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        service = Service("x", [PYTHON, "-c", code], os.environ, tmp_path / "x.log", tmp_path)
        service.start()
    finally:
        signal.signal(signal.SIGINT, before)
    deadline = time.monotonic() + 30
    while service.is_running and time.monotonic() < deadline:
        time.sleep(0.02)
    assert "default_int_handler" in service.tail()
