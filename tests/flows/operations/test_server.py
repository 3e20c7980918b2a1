"""What `phusa up` hands to Prefect, and which ports it refuses."""

from __future__ import annotations

import socket
from pathlib import Path

import httpx
import pytest
from prefect.server.database.configurations import AioSqliteConfiguration
from prefect.settings import PREFECT_API_DATABASE_TIMEOUT, temporary_settings

from flows.operations.server import UpOptions, check_port, patiently, service_environment
from storage.errors import RequestError, RunError


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


class _Busy:
    """A server that answers from the third time on, and who asks it."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.said, self.waited = list(errors), list[str](), list[float]()

    def ask(self) -> str:
        if self.errors:
            raise self.errors.pop(0)
        return "deployed"

    def wait(self, seconds: float) -> bool:
        self.waited.append(seconds)
        return False


LOCKED = RunError("deploy ended with exit code 1: Server error '503 Service Unavailable' for url")


def test_a_busy_server_is_asked_again() -> None:
    busy = _Busy(LOCKED, httpx.ReadTimeout("timed out"))
    assert patiently(busy.ask, busy.wait, busy.said.append) == "deployed"
    assert len(busy.said) == 2 and busy.waited == sorted(busy.waited) and busy.waited[0] > 0


def test_one_that_stays_busy_is_named_and_what_else_fails_is_not_tried_again() -> None:
    busy = _Busy(*[LOCKED] * 9)
    with pytest.raises(RunError) as caught:
        patiently(busy.ask, busy.wait, busy.said.append)
    assert caught.value.faults[0].code == "server_busy"
    wrong = _Busy(RunError("deploy ended with exit code 1: no such flow"), LOCKED)
    with pytest.raises(RunError, match="no such flow"):
        patiently(wrong.ask, wrong.wait, wrong.said.append)
    assert wrong.waited == []


def test_asking_again_ends_when_someone_stops_it() -> None:
    busy = _Busy(*[LOCKED] * 9)
    assert patiently(busy.ask, lambda _: True, busy.said.append) is None


def test_a_new_connection_waits_for_the_lock_of_sqlite() -> None:
    """The setting is Prefect's, and reaches the connection that SQLAlchemy makes."""
    env = service_environment({}, options())
    assert float(env["PREFECT_SERVER_DATABASE_TIMEOUT"]) >= 60
    with temporary_settings({PREFECT_API_DATABASE_TIMEOUT: env["PREFECT_SERVER_DATABASE_TIMEOUT"]}):
        assert AioSqliteConfiguration("sqlite+aiosqlite:////x.db").timeout == 60
