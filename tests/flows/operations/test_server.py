"""What `phusa up` hands to Prefect, and which ports it refuses."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from flows.operations.server import UpOptions, check_port, service_environment
from storage.errors import RequestError


def options(**changes: object) -> UpOptions:
    return UpOptions(Path("/recipe.yaml"), "/store", **changes)  # type: ignore[arg-type]


def test_another_servers_address_and_key_do_not_get_through() -> None:
    elsewhere = {
        "PREFECT_API_URL": "https://cloud/api",
        "PREFECT_API_KEY": "secret",
        "PATH": "/bin",
    }
    env = service_environment(elsewhere, options(port=4300))
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
    env = service_environment(mine, options())
    assert env["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "60"
    assert env["PREFECT_API_AUTH_STRING"] == "a:b"


@pytest.mark.parametrize(
    ("host", "url"), [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("10.0.0.7", "10.0.0.7")]
)
def test_workers_here_reach_a_server_that_listens_elsewhere(host: str, url: str) -> None:
    env = service_environment({}, options(host=host))
    assert env["PREFECT_API_URL"] == f"http://{url}:4200/api"
    assert "127.0.0.1" not in env["PREFECT_SERVER_UI_API_URL"]


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
def test_postgresql_by_any_name(scheme: str) -> None:
    env = service_environment({}, options(database=f"{scheme}://u:p@db/prefect"))
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
