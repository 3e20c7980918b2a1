"""Thousands of shard tasks on threads, with the SQLite server."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flows.operations.server import RECORDING
from tests.flows.servers import completed_tasks, prefect_server
from tests.flows.small_flows import Told, call

pytestmark = pytest.mark.fleet

COUNTS = (2_000, 1_000)
"""Of two flows at once. Each task is three events, and the server holds 10,000 in memory: more than
that could be lost if this machine is slow."""
RECORDED_WITHIN_S = 60.0
"""6 to 12 s on two busy cores; 100 s without RECORDING."""


def test_2000_tasks_beside_another_flow(tmp_path: Path) -> None:
    """Both complete, no database is locked, and every task is recorded as completed."""
    with prefect_server(tmp_path / "server", **RECORDING) as server:
        env = {**server, "PREFECT_LOGGING_LEVEL": "WARNING"}

        def run(count: int) -> tuple[list[Told], subprocess.CompletedProcess[str]]:
            return call(env, "many", {"count": count, "work": tmp_path})

        with ThreadPoolExecutor(2) as pool:
            runs = list(pool.map(run, COUNTS))
        for count, ([told], done) in zip(COUNTS, runs, strict=True):
            assert told.get("total") == sum(range(count)), (told, done.stderr)
            recorded = completed_tasks(server, told["flow_run"], count, RECORDED_WITHIN_S)
            assert recorded == count
        said = [done.stderr for _, done in runs]
        said.append((tmp_path / "server/server.log").read_text())
    for failure in ("database is locked", "dropping", "ERROR", "Traceback"):
        assert failure not in "\n".join(said)
