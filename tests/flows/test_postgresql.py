"""PostgreSQL as the Prefect server's database: runs are recorded, and outlive a restart."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.operations.server import RECORDING
from tests.flows.servers import (
    POSTGRESQL,
    ask,
    completed_tasks,
    postgresql,
    prefect_server,
)
from tests.flows.small_flows import call

NUM_TASKS = 300

pytestmark = [
    pytest.mark.fleet,
    pytest.mark.skipif(not (POSTGRESQL / "initdb").exists(), reason="no PostgreSQL server here"),
    pytest.mark.skipif(
        os.getuid() == 0 and shutil.which("runuser") is None,
        reason="PostgreSQL refuses to run as root, and there is no runuser",
    ),
]


@pytest.fixture
def database() -> Iterator[str]:
    """Its folder is not one of pytest's, which no other user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="phusa-postgresql-", dir="/tmp"))
    try:
        with postgresql(folder) as url:
            yield url
    finally:
        shutil.rmtree(folder)


def test_runs_outlive_a_restart_of_the_server(database: str, tmp_path: Path) -> None:
    settings = {**RECORDING, "PREFECT_SERVER_DATABASE_CONNECTION_URL": database}
    home = tmp_path / "home"
    numbers = {"runner": "threads", "numbers": [1, 2, 3]}
    with prefect_server(home, **settings) as server:
        [many], done = call(server, "many", {"count": NUM_TASKS, "work": tmp_path})
        assert many.get("total") == sum(range(NUM_TASKS)), (many, done.stderr)
        [nested], done = call(server, "outer", {**numbers, "work": tmp_path / "work"})
        assert nested.get("total") == 14, (nested, done.stderr)
        assert completed_tasks(server, many["flow_run"], NUM_TASKS, 60) == NUM_TASKS
        assert completed_tasks(server, nested["flow_run"], 4, 60) == 4
    assert not list(home.glob("*.db*")), "SQLite was used"
    with prefect_server(home, **settings) as server:
        runs: list[dict[str, Any]] = ask(server, "flow_runs/filter", {})
        assert {run["state_name"] for run in runs} == {"Completed"}
        assert {many["flow_run"], nested["flow_run"]} < {run["id"] for run in runs}
        assert completed_tasks(server, many["flow_run"], NUM_TASKS, 60) == NUM_TASKS
